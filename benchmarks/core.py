"""
act_node's core per keypoint frame against the bare TFLite invoke of the same batch.

The core's part is everything between a frame of keypoints and its actions: windows, features,
invoke, decision. Both are measured in turn, frame by frame, so that they meet the same load.
"""

from __future__ import annotations

import time

import numpy as np

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.person import Person
from act_ros.core.resources import find_model
from act_ros.core.stamps import NANOSECONDS
from act_ros.tflite.runtime import load_interpreter, runtime_name
from benchmarks.report import Row, parser, percentiles, save, show


def crowd(count: int, time_s: float, rng: np.random.Generator) -> list[Person]:
    """Return people of 17 joints that move; some joints are not seen."""
    persons = []
    for i in range(count):
        points = 100 + 60 * rng.random((17, 2)) + 20 * np.sin(time_s + i)
        scores = rng.random((17, 1)) * 0.9 + 0.1
        keypoints = np.hstack((points, scores)).astype(np.float32)
        persons.append(Person(keypoints, 0.9, np.array((80, 80, 200, 200), np.float32), f'p{i}'))
    return persons


def measure(bundle: str, people: int, frames: int) -> Row:
    """Return the row for a number of people."""
    rng = np.random.default_rng(0)
    recognizer = ActionRecognizer(ActClassifier(bundle), WindowOptions(max_rate=0.0))
    model = recognizer.classifier.bundle
    shape = (people, model.num_frames, model.num_features)
    features = rng.standard_normal(shape).astype(np.float32)
    floor = load_interpreter(find_model(bundle))
    source, sink = (details()[0]['index'] for details in (
        floor.get_input_details, floor.get_output_details))
    floor.resize_tensor_input(source, shape)
    floor.allocate_tensors()
    warm_up = round(2 * model.num_frames / model.frame_rate * 30) + 10
    core, invoke = [], []
    for i in range(warm_up + frames):
        persons = crowd(people, i / 30, rng)
        begin = time.perf_counter()
        recognizer.update(i * NANOSECONDS // 30, persons, 'coco17')
        middle = time.perf_counter()
        floor.set_tensor(source, features)
        floor.invoke()
        floor.get_tensor(sink)
        end = time.perf_counter()
        if i >= warm_up:
            core.append(middle - begin)
            invoke.append(end - middle)
    (core50, core99), (invoke50, invoke99) = percentiles(core), percentiles(invoke)
    return {'people': people, 'core p50 ms': core50, 'core p99 ms': core99,
            'invoke p50 ms': invoke50, 'invoke p99 ms': invoke99,
            'overhead ms': core50 - invoke50, 'overhead / invoke': core50 / invoke50 - 1}


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument('--bundle', default='act_mu')
    arguments.add_argument('--frames', type=int, default=500)
    options = arguments.parse_args()
    rows = [measure(options.bundle, people, options.frames) for people in (1, 2, 8, 32)]
    show(f'Core of act_node, {options.bundle}, {runtime_name()}, one thread', rows)
    save(options.json, core=rows)


if __name__ == '__main__':
    main()
