"""
act_node's core per keypoint frame against the bare TFLite invoke of the same batch.

The core's part is everything between a frame of keypoints and its actions: windows, features,
invoke, decision. Both are measured in turn, frame by frame, so that they meet the same load; so are
windows and features by themselves.
"""

from __future__ import annotations

import time

import numpy as np

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.features import extract_features
from act_ros.actions.recognizer import (
    ActionRecognizer,
    PoseWindow,
    WindowOptions,
    sample_windows,
)
from act_ros.core.arguments import count_from
from act_ros.core.person import SEEN_SCORE, Person
from act_ros.core.resources import find_model
from act_ros.core.stamps import NANOSECONDS
from act_ros.tflite.runtime import load_interpreter, runtime_name
from benchmarks.report import Row, one_line, parser, percentiles, save, show


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
    windows = [PoseWindow(model.num_frames, model.frame_rate, 17, 0.5) for _ in range(people)]
    floor = load_interpreter(find_model(bundle))
    source, sink = (details()[0]['index'] for details in (
        floor.get_input_details, floor.get_output_details))
    floor.resize_tensor_input(source, (people, model.num_frames, model.num_features))
    floor.allocate_tensors()
    warm_up = round(2 * model.num_frames / model.frame_rate * 30) + 10
    times = []
    for i in range(warm_up + frames):
        persons, stamp = crowd(people, i / 30, rng), i * NANOSECONDS // 30
        for window, person in zip(windows, persons, strict=True):
            window.append(stamp, person.keypoints)
        begin = time.perf_counter()
        recognizer.update(stamp, persons, 'coco17')
        done = time.perf_counter()
        poses = sample_windows(
            windows, model.num_frames, model.frame_rate, SEEN_SCORE, model.pose_smoothing)
        sampled = time.perf_counter()
        features = extract_features(
            poses, 'coco17', model.layout, model.normalisation, model.steady_size)
        made = time.perf_counter()
        floor.set_tensor(source, features)
        floor.invoke()
        floor.get_tensor(sink)
        times.append((begin, done, sampled, made, time.perf_counter()))
    core, sampling, making, invoke = (
        percentiles(part) for part in np.diff(times[warm_up:], axis=1).T.tolist())
    return {'people': people, 'core p50 ms': core[0], 'core p99 ms': core[1],
            'windows p50 ms': sampling[0], 'features p50 ms': making[0],
            'invoke p50 ms': invoke[0], 'invoke p99 ms': invoke[1],
            'overhead ms': core[0] - invoke[0], 'overhead / invoke': core[0] / invoke[0] - 1}


@one_line
def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument('--bundle', default='act_mu')
    arguments.add_argument('--frames', type=count_from(1), default=500)
    options = arguments.parse_args()
    rows = [measure(options.bundle, people, options.frames) for people in (1, 2, 8, 32)]
    show(f'Core of act_node, {options.bundle}, {runtime_name()}, one thread', rows)
    save(options.json, core=rows)


if __name__ == '__main__':
    main()
