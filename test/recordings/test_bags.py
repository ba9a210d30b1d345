"""Bags are read as they were written; what cannot be read says why."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import SECOND, person, pose, stamps

pytest.importorskip('rosbags')
from bag_writer import (
    STORAGES,
    TYPES,
    camera_info,
    header,
    image,
    keypoint_array,
    message,
    write_bag,
)
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from act_ros.core.person import Person
from act_ros.core.resources import file_checksum, find_resource
from act_ros.recordings.bags import ACTIONS, IMAGES, KEYPOINTS, Bag, BagError
from act_ros.recordings.recovery import UnfinishedSqlite
from act_ros.recordings.unpacking import unpack_file

TOPIC = '/pose_node/keypoints'
LATENCY = 40_000_000


def walk(path: Path, storage: str = 'sqlite3', seconds: float = 2.0) -> Path:
    """Write a bag of somebody walking; every fifth frame shows nobody."""
    return write_bag(path, [
        (TOPIC, stamp + LATENCY, keypoint_array(
            stamp, [person(pose(stamp / SECOND), 'p1')] if i % 5 else []))
        for i, stamp in enumerate(stamps(30, seconds))], storage)


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_poses_come_back_as_recorded(tmp_path: Path, storage: str) -> None:
    with Bag(walk(tmp_path / 'walk', storage)) as bag:
        frames = list(bag.keypoints())
        assert bag.topics[TOPIC] == ('act_ros/msg/KeypointArray', 61)
        assert bag.duration == pytest.approx(2.0)
        assert bag.start == frames[0].time
    assert [f.stamp for f in frames] == stamps(30, 2.0)
    assert {f.time - f.stamp for f in frames} == {LATENCY}
    assert [len(f.persons) for f in frames[:6]] == [0, 1, 1, 1, 1, 0]
    assert frames[7].layout == 'coco17'
    assert frames[7].persons[0].id == 'p1'
    np.testing.assert_array_equal(frames[7].persons[0].keypoints, pose(frames[7].stamp / SECOND))


@pytest.mark.parametrize(('stamps', 'stamp'), [('header', 0), ('arrival', 5)])
def test_images_come_back_and_their_stamps_are_those_asked_for(
    tmp_path: Path, stamps: str, stamp: int,
) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    with Bag(write_bag(tmp_path / 'images', [('/image', 5, image(0, pixels))])) as bag:
        bag.stamps = stamps
        ((frame, picture),) = bag.images()
    assert (frame.time, frame.stamp, frame.image, bag.unstamped) == (5, stamp, None, 1)
    np.testing.assert_array_equal(picture.data, pixels.reshape(-1))


def test_a_missing_topic_lists_what_there_is(tmp_path: Path) -> None:
    with Bag(walk(tmp_path / 'walk')) as bag:
        for read in (lambda: bag.find_topic(('act_ros/msg/KeypointArray',), '/other'),
                     lambda: list(bag.messages(['/other'])), lambda: list(bag.images())):
            with pytest.raises(BagError, match=f'{TOPIC} .act_ros/msg/KeypointArray, 61 mess'):
                read()
        with pytest.raises(BagError, match='is of type act_ros/msg/KeypointArray, not sensor'):
            list(bag.images(TOPIC))


def test_of_several_topics_one_must_be_named(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'two', [
        (topic, 1, keypoint_array(1, [])) for topic in ('/left/keypoints', '/right/keypoints')])
    with Bag(path) as bag:
        with pytest.raises(BagError, match='/left/keypoints, /right/keypoints; name one'):
            list(bag.keypoints())
        assert len(list(bag.keypoints('/left/keypoints'))) == 1


def test_a_type_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = walk(tmp_path / 'walk')
    with sqlite3.connect(path / 'walk.db3') as database:
        database.execute('UPDATE topics SET type = "robot_msgs/msg/Thing"')
        database.execute('DELETE FROM message_definitions')
    database.close()
    metadata = path / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('act_ros/msg/KeypointArray',
                                                     'robot_msgs/msg/Thing'))
    with Bag(path) as bag, pytest.raises(
            BagError, match='^[^ ]*: the type robot_msgs/msg/Thing .*not known'):
        list(bag.messages([TOPIC]))


def test_without_definitions_in_the_bag_the_projects_own_serve(tmp_path: Path) -> None:
    path = walk(tmp_path / 'walk')
    with sqlite3.connect(path / 'walk.db3') as database:
        database.execute('DELETE FROM message_definitions')
    database.close()
    with Bag(path) as bag:
        assert len(list(bag.keypoints())) == 61
    (path,) = walk(tmp_path / 'idl', 'mcap').glob('*.mcap')  # and is in a language we do not read
    data = path.read_bytes().replace(b'ros2msg', b'ros2idl').replace(b'std_msgs/Header', b'{' * 15)
    path.write_bytes(data[:data.index(b'KeypointArray', len(data) // 2)])  # without an index
    assert count_until_damage(path) == 61


def test_keypoints_of_another_version_are_read_by_the_definition_they_came_with(
    tmp_path: Path,
) -> None:
    types = get_typestore(Stores.ROS2_JAZZY)
    for name, more in (('BoundingBox', ''), ('Keypoint', ''), ('PersonKeypoints', ''),
                       ('KeypointArray', 'float64 rate\n')):
        text = find_resource(f'msg/{name}.msg').read_text(encoding='utf-8')
        types.register(get_types_from_msg(more + text, f'act_ros/msg/{name}'))
    array = keypoint_array(SECOND, [person(pose(1.0), 'p1')])
    other = types.types[KEYPOINTS](rate=30.0, **{
        name: value for name, value in vars(array).items() if not name.startswith('_')})
    with Bag(write_bag(tmp_path / 'bag', [(TOPIC, SECOND, other)], types=types)) as bag:
        (frame,) = bag.keypoints()
    assert (frame.stamp, frame.persons[0].id) == (SECOND, 'p1')
    np.testing.assert_array_equal(frame.persons[0].keypoints, pose(1.0))


@pytest.mark.parametrize(('storage', 'file'), [('sqlite3', 'walk.db3'), ('mcap', 'walk.mcap')])
@pytest.mark.parametrize('share', [0.0, 0.02, 0.5, 0.9])
def test_a_bag_cut_off_is_an_error_not_a_short_bag(
    tmp_path: Path, storage: str, file: str, share: float,
) -> None:
    path = walk(tmp_path / 'walk', storage, seconds=10)
    data = (path / file).read_bytes()
    (path / file).write_bytes(data[:int(share * len(data))])
    with pytest.raises(BagError, match=r'walk.*(damaged|cut off)'), Bag(path) as bag:
        list(bag.keypoints())


@pytest.mark.parametrize('little_endian', [True, False])
def test_poses_read_from_their_bytes_are_those_of_the_definition(
    tmp_path: Path, little_endian: bool,
) -> None:
    rng = np.random.default_rng(0)
    arrays = []
    for count, layout, joints in ((0, '', 0), (1, 'coco17', 17), (3, 'body25', 25), (2, 'é', 0)):
        people = [Person(rng.normal(size=(joints, 3)).astype(np.float32), float(rng.random()),
                         rng.normal(size=4).astype(np.float32), 'p' * i) for i in range(count)]
        arrays.append(keypoint_array(SECOND * (count - 1) + 7, people, layout))
        arrays[-1].header.frame_id = 'camera'[:count]
    with Writer(tmp_path / 'bag', version=9) as writer:
        connection = writer.add_connection(TOPIC, KEYPOINTS, typestore=TYPES)
        for i, array in enumerate(arrays):
            writer.write(connection, i, TYPES.serialize_cdr(
                array, KEYPOINTS, little_endian=little_endian))
    with Bag(tmp_path / 'bag') as bag:
        messages = [value for _, _, value in bag.messages([TOPIC])]
        for frame, array in zip(bag.keypoints(), messages, strict=True):
            assert frame.stamp == array.header.stamp.sec * SECOND + 7
            assert (frame.layout, frame.size) == (array.layout, (640, 480))
            for found, person in zip(frame.persons, array.persons, strict=True):
                assert (found.id, found.score) == (person.id, person.score)
                assert found.keypoints.dtype == found.box.dtype == np.float32
                assert found.keypoints.shape == (len(person.keypoints), 3)
                np.testing.assert_array_equal(
                    found.keypoints.ravel(),
                    [v for k in person.keypoints for v in (k.x, k.y, k.score)])
                box = person.box
                np.testing.assert_array_equal(
                    found.box, (box.x_min, box.y_min, box.x_max, box.y_max))


def test_a_message_cut_off_within_is_told(tmp_path: Path) -> None:
    data = TYPES.serialize_cdr(keypoint_array(1, [person(pose(1.0), 'p1')]), KEYPOINTS)
    for size in range(4, len(data) - 1, 17):
        path = tmp_path / str(size)
        with Writer(path, version=9) as writer:
            writer.write(writer.add_connection(TOPIC, KEYPOINTS, typestore=TYPES), 1, data[:size])
        with Bag(path) as bag, pytest.raises(BagError, match='damaged or cut off after 0 mess'):
            list(bag.keypoints())
    with Bag(path) as bag:
        assert bag.first(TOPIC) is None


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
@pytest.mark.parametrize('bad', [(0,), (7, 30), (60,)])
def test_a_message_that_cannot_be_decoded_costs_itself_alone(
    tmp_path: Path, storage: str, bad: tuple[int, ...],
) -> None:
    with Writer(tmp_path / 'bag', version=9, storage_plugin=STORAGES[storage]) as writer:
        connection = writer.add_connection(TOPIC, KEYPOINTS, typestore=TYPES)
        for i, stamp in enumerate(stamps(30, 2.0)):
            data = TYPES.serialize_cdr(keypoint_array(stamp, []), KEYPOINTS)
            writer.write(connection, stamp, data[:20] if i in bad else data)
    with Bag(tmp_path / 'bag') as bag:
        first = bag.first(TOPIC)
        assert first is not None  # and it is counted once, however often it is read
        seen = [frame.stamp for frame in bag.keypoints()]
        assert seen == [s for i, s in enumerate(stamps(30, 2.0)) if i not in bad]
        (loss,) = bag.losses()
    assert loss.startswith(f'{len(bad)} messages could not be decoded and are left out; the first: '
                           f'{TOPIC} at {bad[0] / 30:.3f} s: ')


def test_broken_messages_are_not_kept(tmp_path: Path) -> None:
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection('/image', IMAGES[0], typestore=TYPES)
        data = TYPES.serialize_cdr(image(1, np.zeros((240, 320, 3), np.uint8)), IMAGES[0])
        for i in range(50):
            writer.write(connection, i + 1, data[:-10] if i else data)
    tracemalloc.start()
    try:
        with Bag(tmp_path / 'bag') as bag:
            assert len(list(bag.images())) == 1 and len(bag.broken) == 49
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
    finally:
        tracemalloc.stop()


def test_types_are_looked_up_once_for_all_topics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of REP-155 every body has a topic, and to parse a definition takes long."""
    write_bag(tmp_path / 'bag', ((f'/{i}', i + 1, keypoint_array(i + 1, [])) for i in range(9)))
    looked: list[str] = []
    look = Bag._store_for

    def store_for(bag: Bag, connection: Any) -> Any:
        looked.append(connection.topic)
        return look(bag, connection)

    monkeypatch.setattr(Bag, '_store_for', store_for)
    with Bag(tmp_path / 'bag') as bag:
        assert len(list(bag.messages([f'/{i}' for i in range(9)]))) == 9
    assert looked == ['/0']


def test_a_damage_is_told_of_the_topics_that_have_it(tmp_path: Path) -> None:
    """A bag's images may be looked at before its keypoints are read, in chunks of their own."""
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    pixels = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    with writer:
        for topic, value in (('/image', image(1, pixels)), (TOPIC, keypoint_array(1, []))):
            kind = value.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            for i in range(3):
                writer.write(connection, i + 1, TYPES.serialize_cdr(value, kind))
    file = tmp_path / 'bag' / 'bag.mcap'
    file.write_bytes(file.read_bytes().replace(b'\x28\xb5\x2f\xfd', b'nope', 1))
    with Bag(tmp_path / 'bag') as bag:
        assert bag.first('/image') is not None  # the second one
        assert len(list(bag.keypoints())) == 3
        with pytest.raises(BagError, match='damaged or cut off after 2 messages'):
            list(bag.images())


def test_of_a_topic_with_two_types_the_rarer_is_left_out(tmp_path: Path) -> None:
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, value, count in ((TOPIC, header(1), 2), (TOPIC, keypoint_array(1, []), 5),
                                    (TOPIC, image(1, np.zeros((1, 1, 3), np.uint8)), 0),
                                    (TOPIC, camera_info(1), 1), ('/empty', header(1), 0)):
            kind = value.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            for i in range(count):
                writer.write(connection, i, TYPES.serialize_cdr(value, kind))
    with Bag(tmp_path / 'bag') as bag:
        assert bag.topics == {TOPIC: (KEYPOINTS, 5), '/empty': ('std_msgs/msg/Header', 0)}
        assert len(list(bag.keypoints())) == 5 and not [*bag.messages(['/empty'])]
        assert [*bag.losses()] == [
            f'{count} messages of {TOPIC} are of {kind}, not {KEYPOINTS}, and are left out'
            for count, kind in ((2, 'std_msgs/msg/Header'), (1, 'sensor_msgs/msg/CameraInfo'))]


def write_packed(path: Path, mode: CompressionMode, storage: str, count: int = 61) -> Path:
    """Write a bag packed by messages or files, with people of noise; return its file."""
    writer = Writer(path, version=9, storage_plugin=STORAGES[storage])
    writer.set_compression(mode, CompressionFormat.ZSTD)
    rng = np.random.default_rng(0)
    with writer:
        connection = writer.add_connection(TOPIC, KEYPOINTS, typestore=TYPES)
        for i in range(count):
            people = [person(rng.normal(size=(17, 3)).astype(np.float32), f'p{j}')
                      for j in range(30)]
            writer.write(connection, i + 1, TYPES.serialize_cdr(
                keypoint_array(i + 1, people), KEYPOINTS))
    (file,) = path.glob(f'{path.name}.*')
    return file


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
@pytest.mark.parametrize('mode', [CompressionMode.MESSAGE, CompressionMode.FILE])
def test_a_packed_bag_is_read_with_and_without_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: CompressionMode, storage: str,
) -> None:
    write_packed(tmp_path / 'bag', mode, storage)
    unpacked = tmp_path / 'unpacked'
    unpacked.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(unpacked))
    for _ in range(2):
        with Bag(tmp_path / 'bag') as bag:
            assert len(list(bag.keypoints())) == 61 and not [*bag.losses()]
        assert not [*unpacked.iterdir()]
        (tmp_path / 'bag' / 'metadata.yaml').unlink(missing_ok=True)


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_a_packed_file_that_is_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, storage: str,
) -> None:
    file = write_packed(tmp_path / 'bag', CompressionMode.FILE, storage, 120)
    file.write_bytes(file.read_bytes()[:file.stat().st_size * 2 // 3])
    assert 30 < count_until_damage(tmp_path / 'bag') < 90
    file.write_bytes(b'no zstd')
    with pytest.raises(BagError, match='bag is damaged or cut off .*[Zz]st'):
        Bag(tmp_path / 'bag').__enter__()


def test_what_is_packed_unpacks_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write_packed(tmp_path / 'messages', CompressionMode.MESSAGE, 'sqlite3')
    bomb = pack('zstd')(bytes(40 << 20))
    with sqlite3.connect(file) as database:
        database.execute('UPDATE messages SET data = ? WHERE id = 7', (bomb,))
    database.close()
    with Bag(tmp_path / 'messages') as bag:
        assert len(list(bag.keypoints())) == 60
        (loss,) = bag.losses()
    assert f'a message of {len(bomb)} bytes holds more than {32 << 20} unpacked' in loss
    file = write_packed(tmp_path / 'files', CompressionMode.FILE, 'mcap')
    file.write_bytes(bomb)
    unpacked = tmp_path / 'unpacked'
    unpacked.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(unpacked))
    bag = Bag(tmp_path / 'files')
    with pytest.raises(BagError, match=f'files: files.mcap.zstd of {len(bomb)} bytes holds more'):
        bag.__enter__()
    assert not [*unpacked.iterdir()]


def test_a_packed_bag_that_lacks_a_file_or_messages_is_told(tmp_path: Path) -> None:
    """As where copying it ended early: its metadata come before its files."""
    file = write_packed(tmp_path / 'files', CompressionMode.FILE, 'mcap')
    metadata = file.with_name('metadata.yaml')
    metadata.write_text(metadata.read_text().replace(
        f'  - {file.name}\n', f'  - {file.name}\n  - files_1.mcap.zstd\n'))
    with Bag(tmp_path / 'files') as bag, pytest.raises(
            BagError, match=r'after 61 messages \(there is no files_1.mcap.zstd\)'):
        list(bag.keypoints())
    file = write_packed(tmp_path / 'messages', CompressionMode.MESSAGE, 'sqlite3')
    with sqlite3.connect(file) as database:
        database.execute('DELETE FROM messages WHERE id > 40')
    database.close()
    with Bag(tmp_path / 'messages') as bag, pytest.raises(BagError, match='61 .* but has 40'):
        list(bag.keypoints())


def test_a_file_that_is_also_there_unpacked_is_not_unpacked_again(tmp_path: Path) -> None:
    file = write_packed(tmp_path / 'bag', CompressionMode.FILE, 'mcap')
    unpack_file(file, file.with_suffix(''))
    file.write_bytes(pack('zstd')(bytes(40 << 20)))
    with Bag(tmp_path / 'bag') as bag:
        assert len(list(bag.keypoints())) == 61


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_a_bag_whose_recorder_was_killed_is_read_without_its_metadata(
    tmp_path: Path, storage: str,
) -> None:
    path = walk(tmp_path / 'walk', storage)
    (path / 'metadata.yaml').unlink()
    (file,) = path.iterdir()
    for named in (path, file):
        with Bag(named) as bag:
            assert len(list(bag.keypoints())) == 61
            assert bag.checksums() == {file.name: file_checksum(file)}


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_files_without_metadata_are_read_in_the_order_of_recording(
    tmp_path: Path, storage: str,
) -> None:
    """By name the tenth comes before the second; the last was begun and holds nothing yet."""
    path = tmp_path / 'rec'
    path.mkdir()
    times = [(i + 1) * SECOND for i in range(12)]
    for i, messages in enumerate([*([(TOPIC, t, keypoint_array(t, []))] for t in times), []]):
        (file,) = write_bag(tmp_path / f'rec_{i}', messages, storage).glob('rec_*')
        file.rename(path / file.name)
    with Bag(path) as bag:
        assert (bag.start, bag.end) == (times[0], times[-1] + 1)
        assert [frame.stamp for frame in bag.keypoints()] == times


def count_until_damage(path: Path) -> int:
    """Return how many frames come before the error that tells of their number."""
    frames = []
    with Bag(path) as bag:
        with pytest.raises(BagError) as caught:
            for frame in bag.keypoints():
                frames.append(frame)
    assert f'damaged or cut off after {len(frames)} messages' in str(caught.value)
    return len(frames)


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_a_bag_with_half_of_its_metadata_is_read_and_the_damage_told(
    tmp_path: Path, storage: str,
) -> None:
    path = walk(tmp_path / 'walk', storage)
    metadata = path / 'metadata.yaml'
    metadata.write_text(metadata.read_text()[:300])
    assert count_until_damage(path) == 61


def test_metadata_with_a_word_for_a_number_costs_no_message(tmp_path: Path) -> None:
    path = walk(tmp_path / 'walk')
    metadata = path / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('message_count: 61', 'message_count: many'))
    assert count_until_damage(path) == 61


def test_of_several_files_those_that_are_whole_are_read(tmp_path: Path) -> None:
    path = walk(tmp_path / 'walk', 'mcap')
    (path / 'metadata.yaml').unlink()
    shutil.copy(path / 'walk.mcap', path / 'walk_1.mcap')
    (path / 'walk_0.mcap').write_bytes(b'not a bag')
    (path / 'walk_2.mcap').write_bytes(b'\x89MCAP0\r\n')  # begun, and nothing more
    assert count_until_damage(path) == 122
    with Bag(path) as bag:
        assert bag.duration == pytest.approx(2.0)


def test_a_bag_that_lost_its_statistics_lost_nothing_else(tmp_path: Path) -> None:
    """SQLite may write them at the end of the file, and looks for them first."""
    path = walk(tmp_path / 'walk', 'sqlite3', seconds=10)
    (path / 'metadata.yaml').unlink()
    (file,) = path.iterdir()
    with sqlite3.connect(file) as database:
        database.execute('ANALYZE')
    database.close()
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
    assert count_until_damage(path) > 60
    (channel,) = UnfinishedSqlite(file).connections
    assert channel.msgdef.format == MessageDefinitionFormat.MSG
    assert 'PersonKeypoints[] persons' in channel.msgdef.data


@pytest.mark.parametrize(('lacking', 'change'), [
    (1, ''), (200, ''), (20_768, ''), (28_268, ''),
    (1, 'ANALYZE'),  # newer writers do: statistics are the last page, and looked for first
    (100, 'DROP TABLE message_definitions'),  # as recorders before ROS 2 Iron
    (100, 'PRAGMA page_size = 65536; VACUUM')])
def test_of_a_page_that_is_cut_off_nothing_is_made_up(
    tmp_path: Path, lacking: int, change: str,
) -> None:
    """SQLite takes what lacks for zeros: coordinates of 0, or of all pages before it nothing."""
    path = walk(tmp_path / 'walk', seconds=4)
    file = path / 'walk.db3'
    with sqlite3.connect(file) as database:
        database.executescript(change)
    database.close()
    assert UnfinishedSqlite(file).message_count == len(stamps(30, 4.0))  # of one that is whole, all
    file.write_bytes(file.read_bytes()[:-lacking])
    read = []
    with Bag(path) as bag, pytest.raises(BagError, match='damaged or cut off after'):
        for frame in bag.keypoints():
            read.append(frame)
    assert len(read) > 10 and [f.stamp for f in read] == stamps(30, 4.0)[:len(read)]
    for frame in read:
        for who in frame.persons:
            np.testing.assert_array_equal(who.keypoints, pose(frame.stamp / SECOND))


@pytest.mark.parametrize('has_metadata', [True, False])
def test_messages_made_up_by_a_query_are_refused(tmp_path: Path, has_metadata: bool) -> None:
    """The query has no end, and so would the reading have none."""
    path = walk(tmp_path / 'walk', seconds=1)
    with sqlite3.connect(path / 'walk.db3') as database:
        database.executescript("""
            ALTER TABLE messages RENAME TO recorded;
            CREATE VIEW Messages AS WITH RECURSIVE more AS
                (SELECT id, topic_id, timestamp, data FROM recorded
                 UNION ALL SELECT id + 1, topic_id, timestamp + 1, data FROM more)
                SELECT * FROM more""")
    database.close()
    if not has_metadata:
        (path / 'metadata.yaml').unlink()
    with pytest.raises(BagError, match='Messages is a view'), Bag(path):
        pass


def write_chunks(
    path: Path, compression: str,
) -> tuple[Path, list[tuple[int, int]], list[np.ndarray]]:
    """Write images, two to a chunk; return the file, where its chunks lie, and the images."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (480, 400, 3), np.uint8) for _ in range(6)]  # two to a chunk
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    if compression:
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/image', IMAGES[0], typestore=TYPES)
        for i, picture in enumerate(pixels):
            writer.write(connection, i, TYPES.serialize_cdr(image(i, picture), IMAGES[0]))
    file = path / f'{path.name}.mcap'
    data, at, chunks = file.read_bytes(), 8, []
    while data[at] != 15:  # the end of the data
        size = 9 + int.from_bytes(data[at + 1:at + 9], 'little')
        if data[at] == 6:
            chunks.append((at, at + size))
        at += size
    assert len(chunks) == 3
    return file, chunks, pixels


@pytest.mark.parametrize(('compression', 'damage', 'count'), [
    ('', 'zeros', 5), ('zstd', 'zeros', 4), ('', 'other', 4), ('', 'cut', 5), ('zstd', 'cut', 4)])
def test_what_comes_before_a_damaged_chunk_is_read(
    tmp_path: Path, compression: str, damage: str, count: int,
) -> None:
    """The power failed: the end is zeros, or is not what its checksum says, or is not there."""
    file, chunks, pixels = write_chunks(tmp_path / 'bag', compression)
    data = bytearray(file.read_bytes())
    begin, end = chunks[-1]
    if damage == 'zeros':
        begin += (end - begin) // 4
        data[begin:] = bytes(end - begin + (1 << 20))
    elif damage == 'cut':
        del data[(begin + 3 * end) // 4:]
    else:
        data[begin + 33:] = b'\x01' + data[begin + 34:end]
    file.write_bytes(data)
    read = []
    with Bag(tmp_path / 'bag') as bag:
        with pytest.raises(BagError, match=f'damaged or cut off after {count} messages'):
            for _, message in bag.images():
                read.append(message.data)
    assert not bag.broken
    np.testing.assert_array_equal(read[:4], [picture.ravel() for picture in pixels[:4]])


@pytest.mark.parametrize('compression', ['', 'zstd'])
@pytest.mark.parametrize('has_metadata', [True, False])
def test_what_comes_after_a_damaged_chunk_is_read(
    tmp_path: Path, compression: str, has_metadata: bool,
) -> None:
    file, chunks, pixels = write_chunks(tmp_path / 'bag', compression)
    data = bytearray(file.read_bytes())
    begin, end = chunks[1]
    data[begin + 60:end] = b'\xff' * (end - begin - 60)
    file.write_bytes(data)
    if not has_metadata:
        (tmp_path / 'bag' / 'metadata.yaml').unlink()
    read = []
    with Bag(tmp_path / 'bag') as bag:
        with pytest.raises(BagError, match='damaged or cut off after 4 messages'):
            for _, message in bag.images():
                read.append(message.data)
    np.testing.assert_array_equal(
        read, [picture.ravel() for i, picture in enumerate(pixels) if i not in (2, 3)])


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').write_text('no bag')
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'metadata.yaml').write_text('rosbag2_bagfile_information: [')
    with pytest.raises(BagError, match='does not exist'):
        Bag(tmp_path / 'nothing')
    with pytest.raises(BagError, match='is not a ROS 2 bag: give its folder'):
        Bag(tmp_path / 'notes.txt')
    with pytest.raises(BagError, match='neither a metadata.yaml'):
        Bag(tmp_path)
    with pytest.raises(BagError, match='damaged'), Bag(tmp_path / 'broken'):
        pass
    empty = tmp_path / 'empty'
    shutil.copytree(write_bag(tmp_path / 'one', []), empty)
    with pytest.raises(BagError, match='no messages'), Bag(empty):
        pass


def chunk_of(claimed: int, packed: bytes, compression: str) -> bytes:
    """Return an MCAP file that breaks off after a chunk."""
    name = compression.encode()
    content = struct.pack('<QQQII', 0, 0, claimed, 0, len(name)) + name + struct.pack(
        '<Q', len(packed)) + packed
    return b'\x89MCAP0\r\n' + struct.pack('<BQ', 6, len(content)) + content


def pack(compression: str) -> Callable[[bytes], bytes]:
    """Return what packs a chunk."""
    if compression == 'lz4':
        return pytest.importorskip('lz4.frame').compress
    return pytest.importorskip('rosbags.rosbag2.storage_mcap').zstd.compress


@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_chunk_that_claims_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, compression: str,
) -> None:
    packed = pack(compression)
    path = tmp_path / 'bomb.mcap'
    path.write_bytes(chunk_of(1 << 30, packed(bytes(1000)), compression))
    with pytest.raises(BagError, match='bomb.mcap: a chunk of .* bytes claims 1073741824 unpacked'):
        Bag(path).__enter__()
    # Zeros are no records, however many there are; nor is more unpacked than was claimed.
    for claimed in (1 << 20, 1000):
        path.write_bytes(chunk_of(claimed, packed(bytes(1 << 20)), compression))
        with pytest.raises(BagError, match='is damaged or cut off'):
            Bag(path).__enter__()


def record(kind: int, content: bytes) -> bytes:
    """Return a record of an MCAP file."""
    return struct.pack('<BQ', kind, len(content)) + content


def test_chunks_of_several_compressions_in_one_file(tmp_path: Path) -> None:
    """Also such as were packed in two pieces, not in order, one cut off, and none at all."""
    def text(value: str) -> bytes:
        return struct.pack('<I', len(value)) + value.encode()

    def channel(number: int, schema: int, topic: str) -> bytes:
        return record(4, struct.pack('<HH', number, schema) + text(topic) + text('cdr')
                      + struct.pack('<I', 0))

    def row(i: int, number: int = 1) -> bytes:
        return record(5, struct.pack('<HIQQ', number, i, i, i) + b'\0\1\0\0'
                      + struct.pack('<i', i))

    def read_all(data: bytes) -> list[int]:
        path.write_bytes(b'\x89MCAP0\r\n' + data)
        read = []
        with Bag(path) as bag, pytest.raises(BagError, match='cut off after . messages') as caught:
            for _, time, message in bag.messages(['/count']):
                assert message.data == time
                read.append(time)
        assert f'after {len(read)} messages' in str(caught.value) and not bag.broken
        assert bag.topics == {'/count': ('robot_msgs/msg/Count', len(read)),
                              '/more': ('robot_msgs/msg/Count', 1)}
        assert (bag.start, bag.end) == (0, max(read) + 1)
        return read

    path = tmp_path / 'many.mcap'
    definition = text('robot_msgs/msg/Count') + text('ros2msg') + text('int32 data')
    head = b''.join((channel(2, 0, '/count'), row(0, 2),  # without a definition
                     record(3, struct.pack('<H', 1) + definition), channel(1, 1, '/count'),
                     channel(3, 1, '/more'), row(0), row(0, 3)))
    chunks = [(head, ''), (row(1) + row(2), 'zstd'), (row(3) + row(4), 'lz4')]
    packed = [chunk_of(len(data), pack(name)(data) if name else data, name)[8:]
              for data, name in chunks]
    for name in ('zstd', 'lz4'):
        pieces = pack(name)(row(6)) + pack(name)(row(5))
        packed.append(chunk_of(len(row(5) + row(6)), pieces, name)[8:])
    packed.append(chunk_of(len(row(7)), pack('zstd')(row(7)), 'zstd')[8:-3])
    assert read_all(b''.join(packed)) == [0, 1, 2, 3, 4, 6, 5, 6, 5]
    for end in (row(2)[:-1], row(2)[:-14], record(4, b'\1') + row(2)):
        assert read_all(head + row(1) + end) == [0, 1]  # of a recorder told to make no chunks


@pytest.mark.parametrize('name', ['walk.db3', 'other.mcap', 'x.mcap.zstd'])
def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path, name: str) -> None:
    path = walk(tmp_path / 'walk')
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    with pytest.raises(BagError, match=f'{name} is no file'):
        Bag(path)


def test_a_bag_reads_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    """Its metadata names the file of another one."""
    secret, path = walk(tmp_path / 'secret'), walk(tmp_path / 'walk', seconds=1.0)
    (path / 'walk.db3').unlink()
    metadata = path / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('walk.db3', '../secret/secret.db3'))
    assert (secret / 'secret.db3').is_file()
    with pytest.raises(BagError):
        Bag(path).__enter__()


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    """Recorded with a definition of the type that has no box."""
    types = get_typestore(Stores.ROS2_JAZZY)
    text = 'std_msgs/Header header\nstring model\nact_ros/Action[] actions\n'
    types.register({**get_types_from_msg(text, 'act_ros/msg/ActionArray'),
                    **get_types_from_msg('string person_id\n', 'act_ros/msg/Action')})
    with Writer(tmp_path / 'old', version=9) as writer:
        kind = types.types['act_ros/msg/ActionArray']
        connection = writer.add_connection('/actions', kind.__msgtype__, typestore=types)
        action = types.types['act_ros/msg/Action'](person_id='p1')
        stamp = types.types['builtin_interfaces/msg/Time'](sec=1, nanosec=0)
        empty = types.types['std_msgs/msg/Header'](stamp=stamp, frame_id='')
        writer.write(connection, SECOND, types.serialize_cdr(
            kind(header=empty, model='', actions=[action]), kind.__msgtype__))
    with Bag(tmp_path / 'old') as bag, pytest.raises(BagError, match="without the field '"):
        list(bag.actions())


@pytest.mark.parametrize(('values', 'said'), [
    ({}, None), ({'probabilities': (1 + 1e-7, 0.0)}, None),
    ({'status': 4}, 'the status 4, which no version knows'),
    ({'probabilities': (1.01, 0.0)}, r'probabilities outside of \[0, 1\]'),
    ({'probabilities': (1.0, -0.01)}, r'probabilities outside of \[0, 1\]'),
    ({'duration': np.inf}, 'a confidence, a duration or a box that is no number'),
    ({'box': (0.0, 0.0, 9.0, np.nan)}, 'a confidence, a duration or a box that is no number')])
def test_an_action_that_nobody_can_have_answered_is_refused(
    tmp_path: Path, values: dict[str, Any], said: str | None,
) -> None:
    time = message('builtin_interfaces/msg/Time', sec=0, nanosec=0)
    whole = {
        'status': 1, 'label': 'walk', 'label_id': 0, 'confidence': 1.0, 'duration': 1.0,
        'frames': 30, 'place': 0, 'bearing': 0.0, 'distance': 0.0, 'distance_error': 0.0,
        'probabilities': (1.0, 0.0), 'box': (0.0, 0.0, 9.0, 9.0), **values}
    whole['probabilities'] = np.array(whole['probabilities'], np.float32)
    whole['box'] = message('act_ros/msg/BoundingBox', **dict(zip(
        ('x_min', 'y_min', 'x_max', 'y_max'), whole['box'], strict=True)))
    action = message(
        'act_ros/msg/Action', person_id='p1', window_start=time, window_end=time,
        attention=np.zeros(0, np.float32),
        position=message('geometry_msgs/msg/Point', x=0.0, y=0.0, z=0.0), **whole)
    answers = message(ACTIONS, header=header(SECOND), model='tiny', actions=[action])
    with Bag(write_bag(tmp_path / 'bag', [('/actions', SECOND, answers)])) as bag:
        if said is None:
            assert len(list(bag.actions())) == 1
        else:
            with pytest.raises(BagError, match=f"of 'p1' has {said}"):
                list(bag.actions())
