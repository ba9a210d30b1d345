"""From a robot's own recordings to a model: the tutorial in doc/, and what can go wrong."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from synthetic import SECOND, person, pose, stamps

pytest.importorskip('rosbags')
from bag_writer import image, keypoint_array, write_bag

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.action import Status
from act_ros.core.person import SEEN_SCORE, Person
from act_ros.core.rotation import turn_image
from act_ros.core.skeletons import LAYOUTS
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import create_estimator
from act_ros.persons.video import VideoSource
from act_ros.recordings.labels import LabelError
from training import record
from training.datasets.skeletons import JOINTS, assign_folds, check_disjoint, load_sequences
from training.record import Recorder, cut

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / 'doc' / 'training.md'
TOPIC = '/pose_node/keypoints'
# What people do in the recordings, and the motion that stands for it.
PLAN = {0.5: 'standing', 5.0: 'walk', 9.5: 'wave', 14.0: 'idle'}


def motion_at(second: float) -> str:
    return [motion for start, motion in PLAN.items() if second >= start or start == 0.5][-1]


def person_at(second: float, size: float = 100.0, seed: int = 0) -> Person:
    """Return somebody following the plan with great strides; 'idle' is a crouch."""
    motion = motion_at(second)
    keypoints = pose(second, motion, torso=size)
    keypoints += 1.5 * (keypoints - pose(second, 'standing', torso=size)) * (motion == 'walk')
    if motion == 'idle':
        keypoints[11:, 1] = keypoints[11:, 1].min() + 0.3 * (
            keypoints[11:, 1] - keypoints[11:, 1].min())
    noise = np.random.default_rng([seed, round(second * 1000)]).normal(0, 0.01 * size, (17, 2))
    keypoints[:, :2] += noise
    return person(keypoints.astype(np.float32), 'p1')


def write_recording(path: Path, size: float = 100.0, seconds: float = 18.5, rate: float = 20,
                    storage: str = 'sqlite3', others: bool = False) -> Path:
    """Write a bag of somebody following the plan; perhaps somebody else stands by."""
    messages = []
    for stamp in stamps(rate, seconds, jitter=0.1):
        people = [person_at((stamp - SECOND) / SECOND, size)]
        if others:
            people.append(person(pose(0, 'standing', x=500), 'p2'))
        messages.append((TOPIC, stamp + 30_000_000, keypoint_array(stamp, people)))
    return write_bag(path, messages, storage)


def code_block(language: str) -> str:
    """Return the tutorial's block in a language."""
    section = TUTORIAL.read_text(encoding='utf-8').split('## Your own actions')[1]
    section = section.split('\n## ')[0]
    (block,) = re.findall(rf'```{language}\n(.*?)```', section, re.DOTALL)
    return '\n'.join(line.strip() if language != 'yaml' else line[3:]
                     for line in block.splitlines())


@pytest.mark.slow
def test_the_tutorial_leads_from_bags_to_a_model_that_recognises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip('tensorflow', reason='training needs TensorFlow')
    monkeypatch.chdir(tmp_path)
    Path('models').mkdir()
    for shipped in ROOT.glob('models/act_mu.*'):
        shutil.copy(shipped, 'models')
    write_recording(tmp_path / 'anna', 100)
    write_recording(tmp_path / 'ben', 130, storage='mcap')
    labels = code_block('csv')
    Path('anna.csv').write_text(labels)
    Path('ben.csv').write_text(labels.replace('anna', 'ben'))
    # The same settings, but seconds of training instead of minutes.
    Path('gestures.yaml').write_text(yaml.safe_dump({
        **yaml.safe_load(code_block('yaml')), 'members': [0], 'epochs': 4, 'windows_per_epoch': 640,
        'batch_size': 32, 'peak_rate': 0.002, 'short_windows': 0.0, 'validate_every': 4,
        'xla': False}))
    commands = code_block('bash').splitlines()
    assert [shlex.split(command)[:2] for command in commands] == [['python', '-m']] * 4
    for command in commands:
        _, _, module, *arguments = shlex.split(command)
        import_module(module).main(arguments)

    classifier = ActClassifier(tmp_path / 'models' / 'gestures.tflite')
    assert classifier.labels == ('standing', 'walk', 'salute')
    assert classifier.bundle.steady_size
    recognizer = ActionRecognizer(classifier)
    answers: dict[str, list[str]] = {}
    for stamp in stamps(15, 13.5):  # a third person, at another rate
        second = (stamp - SECOND) / SECOND
        actions = recognizer.update(stamp, [person_at(second, 80, seed=1)], 'coco17')
        since = max((start for start in PLAN if start <= second), default=0)
        if actions and actions[0].status is Status.RECOGNIZED and second > since + 2.5:
            answers.setdefault(motion_at(second), []).append(actions[0].label)
    assert set(answers) == {'standing', 'walk', 'wave'}
    for motion, label in (('standing', 'standing'), ('walk', 'walk'), ('wave', 'salute')):
        assert max(set(answers[motion]), key=answers[motion].count) == label


def sequences_of(tmp_path: Path, bag: Path, labels: str, rotation: int = 0) -> Recorder:
    """Return what a recording with these labels gives."""
    (tmp_path / 'labels.csv').write_text('start,end,label,person,actor\n' + labels)
    recorder = Recorder(rotation=rotation)
    recorder.add(bag, tmp_path / 'labels.csv')
    return recorder


def test_sequences_are_what_was_recorded_at_its_own_rate(tmp_path: Path) -> None:
    bag = write_recording(tmp_path / 'anna', seconds=10, rate=20)
    recorder = sequences_of(tmp_path, bag, '1,3,standing,,\n5,8,salute,p1,ben\n'
                                           '9,9.9,unknown,,\n')
    recorder.save(tmp_path / 'anna.npz')
    with np.load(tmp_path / 'anna.npz') as file:
        assert file['layout'] == ['coco17_2d']
        assert file['label'].tolist() == [0, 20, -1]
        assert file['labels'][20] == 'salute'
        assert file['actor'].tolist() == ['anna', 'ben', 'anna']
        assert file['take'].tolist() == ['anna-2#0', 'anna-3#0', 'anna-4#0']
        np.testing.assert_allclose(file['fps'], 20, rtol=0.05)
        np.testing.assert_allclose(np.diff(file['offsets']) / file['fps'], [2, 3, 0.9], atol=0.15)
        middle = file['joints'][10]  # half a second into a second of standing
    # Labels go by the time of recording, poses by the time of the image.
    np.testing.assert_allclose(middle, person_at(1.5).keypoints, atol=5)

    loaded = load_sequences([tmp_path / 'anna.npz'], ('salute', 'standing'))
    assert loaded.label.tolist() == [1, 0, -1]
    loaded = load_sequences([tmp_path / 'anna.npz'], ('salute',))
    assert loaded.label.tolist() == [-1, 0, -1]  # what the model has no class for is unknown


@pytest.mark.parametrize('layout', LAYOUTS)
def test_bags_of_every_layout_can_be_learned_from(tmp_path: Path, layout: str) -> None:
    """Whatever poses a robot takes, also those of other packages."""
    joints = LAYOUTS[layout].joints
    keypoints = np.ones((len(joints), 3), np.float32)
    keypoints[:, :2] = np.random.default_rng(0).uniform(50, 400, (len(joints), 2))
    bag = write_bag(tmp_path / 'anna', [
        (TOPIC, stamp, keypoint_array(stamp, [person(keypoints, 'p1')], layout))
        for stamp in stamps(20, 3)])
    sequences_of(tmp_path, bag, '0,2,walk,,\n').save(tmp_path / 'anna.npz')
    loaded = load_sequences([tmp_path / 'anna.npz'], ('walk',))
    assert loaded.label.tolist() == [0]
    for name in ('l_wrist', 'r_knee'):
        wanted = keypoints[joints.index(name), :2]
        assert np.allclose(loaded.joints[:, JOINTS.index(name), :2], wanted, atol=1e-3)


@pytest.mark.parametrize(('frames', 'lengths'), [(11, [100]), (12, [30, 58])])
def test_a_gap_that_a_live_window_does_not_bear_cuts_a_sequence_in_two(
    tmp_path: Path, frames: int, lengths: list[int],
) -> None:
    assert (frames == 11) == ((frames + 1) / 20 <= WindowOptions().max_gap)
    bag = write_bag(tmp_path / 'gap', [
        (TOPIC, stamp, keypoint_array(
            stamp, [person_at(0.5)] if not 30 <= i < 30 + frames else []))
        for i, stamp in enumerate(stamps(20, 5))])
    recorder = sequences_of(tmp_path, bag, '0,5,standing,,\n')
    recorder.save(tmp_path / 'gap.npz')
    with np.load(tmp_path / 'gap.npz') as file:
        assert np.diff(file['offsets']).tolist() == lengths
        assert file['take'].tolist() == [f'gap-2#{i}' for i in range(len(lengths))]


def test_a_clock_that_is_set_back_begins_anew(tmp_path: Path) -> None:
    """Nothing is lost, and nothing joined that was seconds apart."""
    messages = []
    for i, stamp in enumerate(stamps(30, 10)):
        set_back = stamp - 3 * SECOND * (i >= 100)
        who = person(pose(0, 'standing', x=100 + i), 'p1')
        messages.append((TOPIC, stamp, keypoint_array(set_back, [who])))
    recorder = sequences_of(
        tmp_path, write_bag(tmp_path / 'set', messages), '0,10,walk,,\n')
    recorder.save(tmp_path / 'set.npz')
    with np.load(tmp_path / 'set.npz') as file:
        pieces = np.split(file['joints'], file['offsets'][1:-1])
    assert [len(piece) for piece in pieces] == pytest.approx([100, 198], abs=4)
    assert max(np.abs(np.diff(piece[:, 0, 0])).max() for piece in pieces) < 4


def test_who_is_in_two_files_is_one_person(tmp_path: Path) -> None:
    for day in ('monday', 'tuesday'):
        bag = write_recording(tmp_path / day, seconds=10, rate=20)
        sequences_of(tmp_path, bag, '1,3,standing,,anna\n5,8,walk,,ben\n').save(
            tmp_path / f'{day}.npz')
    both = load_sequences([tmp_path / 'monday.npz', tmp_path / 'tuesday.npz'],
                          ('standing', 'walk'))
    assert set(both.group) == {'actor:anna', 'actor:ben'}
    folds = assign_folds(both, 2, 0)
    check_disjoint(both.select(folds == 0), both.select(folds == 1))


def twins(stamp: int, *ids: str) -> Any:
    """Return the keypoints of people who stand 400 pixels apart."""
    return keypoint_array(stamp, [
        person(pose(0, 'standing', x=200 + 400 * i), name) for i, name in enumerate(ids)])


def test_people_without_an_id_are_no_sequence(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'twins', [
        (TOPIC, stamp, twins(stamp, '', '', *['p1'] * (stamp > 3 * SECOND)))
        for stamp in stamps(20, 5)])
    for labels in ('0,1.5,standing,,\n', '0,1.5,standing,p1,\n'):
        with pytest.raises(LabelError, match='line 2: only people without an id .* track them'):
            sequences_of(tmp_path, bag, labels)
    sequences_of(tmp_path, bag, '0,5,standing,,\n').save(tmp_path / 'twins.npz')
    with np.load(tmp_path / 'twins.npz') as file:  # p1, from the third second on
        assert np.diff(file['offsets']) / 20 == pytest.approx(3, abs=0.1)
        assert np.ptp(file['joints'], axis=0).max() < 1


def test_of_an_id_given_twice_in_a_frame_the_first_counts(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'twins', [
        (TOPIC, stamp, twins(stamp, 'p1', 'p1')) for stamp in stamps(20, 5)])
    sequences_of(tmp_path, bag, '0,5,standing,,\n').save(tmp_path / 'twins.npz')
    with np.load(tmp_path / 'twins.npz') as file:
        np.testing.assert_allclose(file['joints'][50], pose(0, 'standing', x=200), atol=1e-3)
        assert np.ptp(file['joints'], axis=0).max() < 1


def test_between_a_place_that_was_seen_and_a_guess_lies_nothing_that_passes_for_seen() -> None:
    """Frames come when they like, and a wrist that is hidden is guessed to be far away."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.08, 60))
    poses = np.repeat(pose(0, 'standing', x=200)[None], 60, axis=0)
    poses[::3, 9] = 900, 900, 0.05
    ((rate, piece),) = cut((times * SECOND).astype(int).tolist(), list(poses))
    assert len(piece) == pytest.approx((times[-1] - times[0]) * rate, abs=2)
    seen = piece[:, 9, 2] >= SEEN_SCORE
    assert 0.4 < seen.mean() < 0.9
    np.testing.assert_allclose(piece[seen, 9, :2], poses[1:2, 9, :2].repeat(seen.sum(), 0), atol=1)
    np.testing.assert_allclose(np.delete(piece, 9, 1), np.delete(poses[:1], 9, 1).repeat(
        len(piece), 0), atol=1e-2)


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e30])
def test_a_joint_that_is_no_number_costs_itself_alone(tmp_path: Path, value: float) -> None:
    """As live; a pose of which nothing is seen costs its frame."""
    messages = []
    for i, stamp in enumerate(stamps(20, 5)):
        who = person_at(0.5)
        who.keypoints[9 if i % 10 else slice(None), :2] = value
        messages.append((TOPIC, stamp, keypoint_array(stamp, [who])))
    recorder = sequences_of(
        tmp_path, write_bag(tmp_path / 'odd', messages), '0,5,standing,,\n')
    recorder.save(tmp_path / 'odd.npz')
    with np.load(tmp_path / 'odd.npz') as file:
        (joints,) = np.split(file['joints'], file['offsets'][1:-1])
    seen = joints[..., 2] > 0
    assert np.isfinite(joints).all() and np.abs(joints).max() < 1000
    assert len(joints) == 99  # from the second frame to the last but one
    assert not seen[:, 9].any() and np.delete(seen, 9, axis=1).all()


def test_stamps_that_are_wrong_or_missing_cost_what_they_cost_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    times = stamps(20, 5)

    def lengths(name: str, header_of: Callable[[int], int], stamps: str = 'header') -> list[int]:
        bag = write_bag(tmp_path / name, [
            (TOPIC, stamp, keypoint_array(header_of(i), [person_at(0.5)]))
            for i, stamp in enumerate(times)])
        (tmp_path / 'labels.csv').write_text('start,end,label\n0,5,standing\n')
        recorder = Recorder(stamps)
        recorder.add(bag, tmp_path / 'labels.csv')
        recorder.save(tmp_path / 'out.npz')
        with np.load(tmp_path / 'out.npz') as file:
            return [int(length) for length in np.diff(file['offsets'])]

    assert lengths('good', lambda i: times[i]) == [100]
    assert not capsys.readouterr().err.count('not used')
    assert lengths('odd', lambda i: times[i] + (i % 10 == 5) * 3600 * SECOND) == [100]
    assert 'odd: 10 pieces of input were not used (stamp ' in capsys.readouterr().err
    assert lengths('arrival', lambda i: 0, 'arrival') == [100]
    capsys.readouterr()
    with pytest.raises(LabelError, match='never seen'):
        lengths('empty', lambda i: 0)
    assert 'empty: 101 messages have no stamp; with the parameter stamps' in capsys.readouterr().err


@pytest.mark.parametrize('rotation', [0, 90])
def test_people_are_found_in_images_as_pose_node_finds_them(
    tmp_path: Path, capsys: pytest.CaptureFixture, rotation: int,
) -> None:
    """Also by a camera on its side; a damaged image costs itself alone, and is told."""
    video = VideoSource(str(ROOT / 'media' / 'demo.mp4'))
    frames = [(SECOND + round(seconds * SECOND), pixels) for _, (seconds, pixels) in zip(
        range(20), video.play(realtime=False), strict=False)]
    images = [('/image', stamp, image(stamp, turn_image(pixels, -rotation)))
              for stamp, pixels in frames]
    damaged = image(frames[-1][0] + 1, frames[-1][1][:9])
    damaged.height = 99
    bag = write_bag(tmp_path / 'images', [*images, ('/image', frames[-1][0] + 1, damaged)])
    recorder = sequences_of(tmp_path, bag, '0,10,walk,p1,\n', rotation)
    recorder.save(tmp_path / 'images.npz')
    assert '1 images could not be decoded and are left out' in capsys.readouterr().err

    finder = PersonFinder(create_estimator())
    seen = {number: person.keypoints for number, (stamp, pixels) in enumerate(frames)
            for person in finder.update(stamp, pixels) or () if person.id == 'p1'}
    first = min(seen)
    with np.load(tmp_path / 'images.npz') as file:  # frames without a look at p1 lie between
        assert len(file['joints']) == max(seen) - first + 1 >= len(seen) > 10
        joints = file['joints'][[number - first for number in seen]]
    upright = np.array(list(seen.values()))
    np.testing.assert_allclose(joints[..., 2], upright[..., 2], atol=1e-3)
    np.testing.assert_allclose(  # where in the image counts for nothing
        joints[..., :2] - joints[0, 0, :2], upright[..., :2] - upright[0, 0, :2], atol=1)


@pytest.mark.parametrize(('labels', 'message'), [
    ('0.5,3,walk,,\n', r'labels.csv line 2: several people were seen \(p1 for 2.\d s, p2 for'),
    ('0.5,3,walk,p9,\n', r"'p9' was not seen then; p1 for 2.\d s, p2 for 2.\d s was"),
    ('0.5,0.7,walk,p1,\n', 'p1 was never seen for 0.4 s without a gap'),
    ('90,99,walk,p1,\n', r'90 to 99 lies outside of the bag, which lasts 4.\d s'),
    ('3,1,walk,p1,\n', 'end must be after start'),
    ('1,soon,walk,p1,\n', "'soon' is neither a number of seconds nor an ISO 8601 time"),
    ('1,3,,p1,\n', 'the label is empty'),
    ('1,3,walk,p1,\n2,4,run,p1,\n', 'lines 2 and 3 label the same person at the same time'),
    ('', 'labels nothing'),
])
def test_labels_that_do_not_fit_say_where(tmp_path: Path, labels: str, message: str) -> None:
    bag = write_recording(tmp_path / 'two', seconds=4, others=True)
    with pytest.raises(LabelError, match=message):
        sequences_of(tmp_path, bag, labels)


def test_of_a_bag_that_is_cut_off_what_can_be_read_is_taken_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """A label in what is lost is no shorter sequence, but an error."""
    whole = write_recording(tmp_path / 'anna', seconds=8)
    bag = shutil.copytree(whole, tmp_path / 'cut' / 'anna')
    (file,) = bag.glob('*.db3')
    with sqlite3.connect(file) as database:
        database.execute('DELETE FROM messages WHERE id > 100')  # those of five seconds are left
    database.close()
    takes = []
    for path in (whole, bag):
        recorder = sequences_of(tmp_path, path, '1,4,standing,,\n')
        recorder.save(tmp_path / 'anna.npz')
        with np.load(tmp_path / 'anna.npz') as arrays:
            takes.append(arrays['joints'])
        assert ('is cut off: it should hold' in (said := capsys.readouterr().err)) == (path == bag)
    assert 'What could be read is taken: 100 frames' in said
    np.testing.assert_array_equal(*takes)
    with pytest.raises(LabelError, match='line 3: nobody was seen then'):
        sequences_of(tmp_path, bag, '1,4,standing,,\n6,7,walk,,\n')


def test_wrong_requests_are_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture,
) -> None:
    bag = write_recording(tmp_path / 'anna', seconds=3)
    (tmp_path / 'good.csv').write_text('start,end,label\n1,2,walk\n')
    (tmp_path / 'bad.csv').write_text('begin,end,label\n1,2,walk\n')
    output = tmp_path / 'out' / 'x.npz'
    for recording, extra, message in (
            ((bag, 'bad.csv'), [], 'the first line lacks start'),
            ((bag, 'none.csv'), [], 'cannot read the labels'),
            ((tmp_path / 'none', 'good.csv'), [], 'does not exist'),
            ((bag, 'good.csv'), ['--topic', '/image'], f'no topic .*it holds {TOPIC}'),
            ((bag, 'good.csv'), ['--recording', str(bag), str(tmp_path / 'good.csv')],
             'two recordings have the same name')):
        with pytest.raises(SystemExit):
            record.main(['--recording', str(recording[0]), str(tmp_path / recording[1]),
                         '--output', str(output), *extra])
        assert re.search(message, capsys.readouterr().err)
        assert not output.exists()


def test_labels_are_shown_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'labels.csv').write_text('start,end,label\n1,4,\x1b[2Jsalute\n')
    bag = write_recording(tmp_path / 'bag', seconds=5)
    record.main(['--recording', str(bag), str(tmp_path / 'labels.csv'),
                 '--output', str(tmp_path / 'a.npz')])
    said = capsys.readouterr().out
    assert said.count(r'\x1b[2Jsalute') == 2  # in the table, and as a new label
    assert all(line.isprintable() for line in said.splitlines())


def test_time_of_day_is_as_good_as_seconds(tmp_path: Path) -> None:
    begin = 1_777_000_000 * SECOND
    bag = write_bag(tmp_path / 'clock', [
        (TOPIC, begin + stamp, keypoint_array(begin + stamp, [person_at(0.5)]))
        for stamp in stamps(20, 5)])
    from datetime import datetime, timedelta, timezone

    start = datetime.fromtimestamp(1_777_000_002, timezone(timedelta(hours=2)))
    recorder = sequences_of(tmp_path, bag, f'{start.isoformat()},'
                                           f'{(start + timedelta(seconds=2)).isoformat()},walk,,\n')
    recorder.save(tmp_path / 'clock.npz')
    with np.load(tmp_path / 'clock.npz') as file:
        assert len(file['joints']) == 40


def test_one_person_is_too_few_to_measure_on(
    tmp_path: Path, capsys: pytest.CaptureFixture,
) -> None:
    pytest.importorskip('tensorflow', reason='training needs TensorFlow')
    from training import train

    bag = write_recording(tmp_path / 'anna', seconds=5)
    sequences_of(tmp_path, bag, '1,4,standing,,\n').save(tmp_path / 'gestures.npz')
    (tmp_path / 'gestures.yaml').write_text(code_block('yaml'))
    with pytest.raises(SystemExit):
        train.main(['--config', str(tmp_path / 'gestures.yaml'), '--data', str(tmp_path),
                    '--output', str(tmp_path / 'runs')])
    assert '2 folds need as many people, the data hold 1' in capsys.readouterr().err
    assert not (tmp_path / 'runs').exists()
