"""
Hostile input: whatever the bytes, there is a result, or the one error that is announced.

What was found here once stays as an ``example``. For a long run:
``make test PYTEST_ARGS='test/test_fuzz.py --hypothesis-profile=fuzz'``; with ``pip install
atheris``, ``python test/fuzz.py TEST`` lets coverage guide the bytes.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synthetic import SECOND, bundle_of, person, pose, stamps, tiny_model

from act_ros.actions.bundle import BundleError, load_bundle, save_bundle
from act_ros.actions.classifier import ActClassifier
from act_ros.persons.compressed import decode_compressed
from act_ros.persons.images import ENCODINGS, ImageError, decode_raw
from act_ros.recordings.labels import LabelError, read_labels
from act_ros.tflite.flatbuffer import check_offsets

_TEMPORARY = TemporaryDirectory()
FOLDER = Path(_TEMPORARY.name)  # no fixture: fuzz.py calls the tests without pytest
TOPIC = '/keypoints'
NUMBERS = st.sampled_from([0, 1, 4, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1])
EDITS = st.lists(st.tuples(
    st.floats(0, 1, exclude_max=True),
    NUMBERS.map(lambda n: struct.pack('<I', n)) | st.binary(min_size=1, max_size=4)), max_size=6)


def effort(share: float) -> Callable[[Any], Any]:
    """Return settings with a share of the profile's examples, for what is slow."""
    return settings(max_examples=max(int(share * settings().max_examples), 10))


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """Return ``data`` with some bytes overwritten, and perhaps its end cut off."""
    def change(edits: list[tuple[float, bytes]], keep: float) -> bytes:
        changed = bytearray(data)
        for place, new in edits:
            at = int(place * len(data))
            changed[at:at + len(new)] = new
        return bytes(changed[:round(keep * len(changed))])

    return st.builds(change, EDITS, st.just(1.0) | st.floats(0, 1))


@given(data=st.data())
@effort(1.0)
def test_any_image(data: st.DataObject) -> None:
    """A picture, or ImageError."""
    small = st.integers(0, 9) | NUMBERS
    encoding = data.draw(st.sampled_from(ENCODINGS) | st.text())
    content = data.draw(st.binary(max_size=300))
    height, width, step = (data.draw(small) for _ in range(3))
    try:
        image = decode_raw(content, encoding, height, width, step, data.draw(st.booleans()))
    except ImageError:
        return
    assert image.shape == (height, width, 3) and image.dtype == np.uint8


def _jpeg() -> bytes:
    import cv2

    return bytes(cv2.imencode('.jpg', np.arange(768, dtype=np.uint8).reshape(16, 16, 3))[1])


@given(mutated(_jpeg()) | st.binary())
@effort(1.0)
def test_any_compressed_image(content: bytes) -> None:
    """A picture, or ImageError."""
    try:
        image = decode_compressed(content)
    except ImageError:
        return
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8


ROWS = b"""start,end,label,person,actor
0.5,4.5,standing,,
5.0,9.0,walk,p1,anna
2026-05-04T10:31:07+02:00,2026-05-04T10:31:11+02:00,unknown,p2,
"""
CELLS = st.sampled_from([
    '', '0', '1e3', '-1', 'nan', 'inf', '1e400', '9' * 400, '0001-01-01', '9999-12-31T23:59:59Z',
    '2026-05-04', '24:00', 'walk', 'p1', '"', '\0', '\ud7ff', 'x,y']) | st.text(max_size=8)


@given(content=mutated(ROWS) | st.binary() | st.lists(st.lists(CELLS, max_size=6), max_size=4).map(
    lambda rows: b'start,end,label,person,actor\n' + '\n'.join(map(','.join, rows)).encode()))
@example(content=b'start,end,label\n0001-01-01,2,walk\n')
@effort(1.0)
def test_any_labels(content: bytes) -> None:
    """Labels within the bag and in order, or LabelError."""
    path = FOLDER / 'labels.csv'
    path.write_bytes(content)
    warnings: list[str] = []
    try:
        labels = read_labels(path, 0, 20 * SECOND, warnings)
    except LabelError as error:
        assert str(path) in str(error)
        return
    assert labels and [x.start for x in labels] == sorted(x.start for x in labels)
    assert all(x.label and x.end > x.start for x in labels)


def bundle_works(path: Path) -> None:
    """Load a bundle and let it answer, or see it refused with a message of readable length."""
    try:
        classifier = ActClassifier(path)
    except BundleError as error:
        assert len(str(error)) < 2000
        return
    frames = classifier.num_frames
    windows = np.stack([pose(i / 30) for i in range(frames)])[None]
    assert classifier.classify(windows, 'coco17').shape == (1, len(classifier.labels))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner,
                                                                max_size=3))
CARD = yaml.safe_dump({
    'schema': 1, 'sha256': '0' * 64, 'labels': ['standing', 'walk', 'wave'], 'name': 'tiny',
    'layout': 'mpose13_coco', 'num_frames': 30, 'min_frames': 10, 'frame_rate': 30.0,
    'temperature': 1.0, 'unknown_threshold': 0.6, 'training': {'data': ['mpose']}}).encode()
BOMB = 'a: &a [x, x]\n' + ''.join(
    f'{b}: &{b} [{", ".join(["*" + a] * 9)}]\n' for a, b in zip('abcdefg', 'bcdefgh', strict=True))


@given(content=mutated(CARD) | st.binary())
@example(content=b'[' * 5000)
@example(content=b'schema: 2001-99-99')
@example(content=b"schema: !!int ''")
@example(content=b'schema: !!timestamp x')
@example(content=b'schema: ' + b'1' * 5000)
@example(content=b'schema: 0x' + b'1' * 5000)
@example(content=b'#' * (1 << 21))
@example(content=(BOMB + CARD.decode().replace('tiny', '*h')).encode())
@effort(0.4)
def test_any_bundle_card(content: bytes) -> None:
    """A bundle that works, or BundleError."""
    bundle = save_bundle(FOLDER, bundle_of(), tiny_model())
    bundle.with_suffix('.yaml').write_bytes(content)
    bundle_works(bundle)


@given(key=st.sampled_from(sorted(yaml.safe_load(CARD))), value=VALUES)
@effort(0.4)
def test_any_value_in_a_bundle_card(key: str, value: Any) -> None:
    """A bundle that works, or BundleError."""
    bundle = save_bundle(FOLDER, bundle_of(), tiny_model())
    card = bundle.with_suffix('.yaml')
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), key: value}))
    bundle_works(bundle)


@given(model=mutated(tiny_model()) | st.binary())
@effort(1.0)
def test_any_model(model: bytes) -> None:
    """A file that is not the card's is never opened; of another one no offset leads astray."""
    if model != tiny_model():
        bundle = save_bundle(FOLDER, bundle_of(), tiny_model())
        bundle.write_bytes(model)
        with pytest.raises(BundleError, match='SHA-256'):
            load_bundle(bundle)
    with suppress(ValueError):
        check_offsets(model)


FOUND = (1644, 3437)  # seeds of models whose input has no dimension


def damaged_models(seeds: Iterable[int]) -> Iterator[bytes]:
    """Yield the tiny model with some bytes overwritten: the same for the same seed."""
    for seed in seeds:
        rng, model = random.Random(seed), bytearray(tiny_model())
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = 4 * rng.randrange(len(model) // 4)
            number = rng.choice((0, 1, 4, 8, 2**16, 2**24, 2**31, 2**32 - 1, rng.getrandbits(32)))
            model[at:at + 4] = struct.pack('<I', number)
        yield bytes(model)
    yield tiny_model()[:18] + b'\0\0' + tiny_model()[20:]  # a model without a subgraph


def test_a_damaged_model_with_the_right_checksum(tmp_path: Path) -> None:
    """It runs or is refused; a crash of the runtime would end the process, so it has its own."""
    code = ('import pathlib, sys, test_fuzz as t; folder = pathlib.Path(sys.argv[1])\n'
            'for model in t.damaged_models([*range(int(sys.argv[2])), *t.FOUND]):\n'
            '    t.bundle_works(t.save_bundle(folder, t.bundle_of(), model))')
    count = settings().max_examples
    result = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path), str(count)], cwd=Path(__file__).parent,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout


@pytest.fixture(scope='module', params=['sqlite3', 'mcap'])
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag to spoil: poses, and an image."""
    pytest.importorskip('rosbags')
    from bag_writer import image, keypoint_array, write_bag

    messages = [(TOPIC, stamp, keypoint_array(stamp, [person(pose(stamp / SECOND), 'p1')]))
                for stamp in stamps(30, 0.2)]
    pixels = np.zeros((4, 4, 3), np.uint8)
    return write_bag(tmp_path_factory.mktemp('bag') / 'bag',
                     [*messages, ('/image', 2 * SECOND, image(SECOND, pixels))], request.param)


def reads_or_refuses(path: Path) -> None:
    """Read all that a bag holds, or see it refused by name."""
    from act_ros.evaluation.source import read_images
    from act_ros.recordings.bags import Bag, BagError

    try:
        with Bag(path) as opened:
            for frame in opened.keypoints(TOPIC):
                assert all(p.keypoints.shape[1:] == (3,) for p in frame.persons)
            for picture in read_images(opened, '/image'):
                assert picture.image is not None and picture.image.ndim == 3
    except BagError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize('name', ['metadata.yaml', 'bag'])
@given(data=st.data())
@effort(0.3)
def test_any_bytes_in_a_bag(bag: Path, name: str, data: st.DataObject) -> None:
    """Messages, or BagError: with broken metadata, a broken file, or such a file alone."""
    spoiled = FOLDER / bag.parent.name
    shutil.rmtree(spoiled, ignore_errors=True)
    shutil.copytree(bag, spoiled)
    file = next(file for file in spoiled.iterdir() if (file.name == name) == (name != 'bag'))
    file.write_bytes(data.draw(mutated(file.read_bytes())))
    reads_or_refuses(file if name == 'bag' and data.draw(st.booleans()) else spoiled)


@given(data=st.data())
@effort(0.3)
def test_any_message_in_a_bag(data: st.DataObject) -> None:
    """The file is whole, but what a recorder has written into it is not."""
    pytest.importorskip('rosbags')
    from bag_writer import STORAGES, TYPES, keypoint_array
    from rosbags.rosbag2 import Writer

    from act_ros.recordings.bags import KEYPOINTS

    path = FOLDER / 'messages'
    shutil.rmtree(path, ignore_errors=True)
    couple = keypoint_array(SECOND, [person(pose(0.0), 'p1')] * 2)
    good = bytes(TYPES.serialize_cdr(couple, KEYPOINTS))
    with Writer(path, version=9, storage_plugin=STORAGES['mcap']) as writer:
        connection = writer.add_connection(TOPIC, KEYPOINTS, typestore=TYPES)
        for i, content in enumerate(data.draw(st.lists(mutated(good), max_size=3))):
            writer.write(connection, i, content)
    reads_or_refuses(path)
