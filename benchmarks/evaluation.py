"""
Evaluation of recorded keypoints against real time, on one core, and its memory.

The floor is what nobody can do without: reading the bag's messages, and the bare TFLite invoke of
as many windows, at the model's rate. Every measurement has a process of its own, on one core.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from tqdm import tqdm

from act_ros.actions.bundle import load_bundle
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.resources import find_model
from act_ros.core.stamps import NANOSECONDS
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings
from act_ros.recordings.bags import KEYPOINTS, Bag, project_types
from act_ros.tflite.runtime import load_interpreter, runtime_name
from benchmarks.core import crowd
from benchmarks.report import Row, parser, save, show

RATE = 30
# People change what they do this often, in seconds.
_TURN = 10


def write_bag(path: Path, minutes: float, people: int) -> None:
    """Write a bag of people who move, at `RATE`."""
    types = project_types()
    kinds = {name: types.types[f'act_ros/msg/{name}'] for name in (
        'Keypoint', 'BoundingBox', 'PersonKeypoints', 'KeypointArray')}
    header, stamp_type = (types.types[name] for name in (
        'std_msgs/msg/Header', 'builtin_interfaces/msg/Time'))
    rng = np.random.default_rng(0)

    def messages() -> Iterator[tuple[int, Any]]:
        for i in tqdm(range(round(minutes * 60 * RATE)), f'{minutes:g} min', leave=False):
            stamp = (1000 * NANOSECONDS) + i * NANOSECONDS // RATE
            persons = [kinds['PersonKeypoints'](
                id=p.id, score=p.score, box=kinds['BoundingBox'](*p.box.tolist()),
                keypoints=[kinds['Keypoint'](*point) for point in p.keypoints.tolist()],
            ) for p in crowd(people, i / RATE, rng)]
            yield stamp, kinds['KeypointArray'](
                header=header(stamp_type(*divmod(stamp, NANOSECONDS)), 'camera'), layout='coco17',
                image_width=640, image_height=480, persons=persons)

    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/pose_node/keypoints', KEYPOINTS, typestore=types)
        for stamp, message in messages():
            writer.write(connection, stamp + 30_000_000, types.serialize_cdr(message, KEYPOINTS))


def write_labels(path: Path, minutes: float) -> None:
    """Write labels that change every `_TURN` seconds."""
    names = ('walk', 'wave1', 'standing')
    rows = [f'{start},{start + _TURN},{names[i % len(names)]}'
            for i, start in enumerate(range(0, round(minutes * 60), _TURN))]
    path.write_text('\n'.join(['start,end,label', *rows]) + '\n')


def _bound() -> None:
    """Keep this process to one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _peak() -> float:
    """Return the most memory this process ever had, in MB."""
    match = re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())
    return int(match[1]) / 1e3 if match else float('nan')


def _evaluate(bag: Path, labels: Path, output: Path, bundle: str) -> tuple[float, float, float]:
    """Return seconds, processor seconds, and peak memory in MB of an evaluation."""
    _bound()
    begin, busy = time.perf_counter(), time.process_time()
    evaluate(Job(bag, output, labels, settings=read_settings(bundle=bundle)))
    return time.perf_counter() - begin, time.process_time() - busy, _peak()


def _floor(bag: Path, bundle: str, people: int) -> tuple[float, float]:
    """Return the processor seconds of reading the messages, and of the bare invokes."""
    _bound()
    begin = time.process_time()
    with Bag(bag) as opened:
        for _ in opened.messages(['/pose_node/keypoints']):
            pass
        seconds = opened.duration
    middle = time.process_time()
    model, file = load_bundle(find_model(bundle))
    interpreter = load_interpreter(file)
    source = interpreter.get_input_details()[0]['index']
    shape = (people, model.num_frames, model.num_features)
    interpreter.resize_tensor_input(source, shape)
    interpreter.allocate_tensors()
    windows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for _ in range(round(seconds * min(RATE, WindowOptions().max_rate))):
        interpreter.set_tensor(source, windows)
        interpreter.invoke()
    return middle - begin, time.process_time() - middle


def measure(minutes: float, people: int, bundle: str, with_floor: bool) -> Row:
    """Return the row for a bag of a length."""
    context = multiprocessing.get_context('spawn')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bag(folder / 'bag', minutes, people)
        write_labels(folder / 'labels.csv', minutes)
        # A process for each: memory once taken is not given back.
        with context.Pool(1) as pool:
            wall, busy, peak = pool.apply(_evaluate, (
                folder / 'bag', folder / 'labels.csv', folder / 'output', bundle))
        row: Row = {'minutes': minutes, 'people': people, 'seconds': wall,
                    '× real time': minutes * 60 / wall,
                    'processor seconds': busy, '× real time, processor': minutes * 60 / busy,
                    'peak MB': peak}
        if with_floor:
            with context.Pool(1) as pool:
                reading, invoking = pool.apply(_floor, (folder / 'bag', bundle, people))
            row |= {'reading s': reading, 'invoke s': invoking,
                    'evaluation / floor': busy / (reading + invoking)}
    return row


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument('--bundle', default='act_mu')
    arguments.add_argument('--people', type=int, default=3)
    arguments.add_argument('--minutes', type=float, nargs='+', default=[10, 60])
    options = arguments.parse_args()
    rows = [measure(minutes, options.people, options.bundle, i == 0)
            for i, minutes in enumerate(options.minutes)]
    show(f'Evaluation of keypoints at {RATE} Hz, {options.bundle}, {runtime_name()}, one core',
         rows)
    save(options.json, evaluation=rows)


if __name__ == '__main__':
    main()
