"""
Pose networks on the demo clip against the bare TFLite invoke of the same network.

The estimator's part is everything between an image and its people: checks, letterbox, invoke,
mapping back. Both are measured in turn, image by image, so that they meet the same load.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from act_ros.core.resources import find_model, find_resource
from act_ros.persons.models import DEFAULT_MODEL, MODES, create_estimator
from act_ros.tflite.runtime import load_interpreter, runtime_name
from benchmarks.report import Row, parser, percentiles, save, show

WARM_UP = 10


def read_clip(count: int, size: tuple[int, int] | None) -> list[np.ndarray]:
    """Return images of the demo clip, from the start again where it ends; width and height."""
    video = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    images: list[np.ndarray] = []
    while (read := video.read())[0]:
        images.append(cv2.resize(read[1], size) if size else read[1])
    return [images[i % len(images)] for i in range(count)]


def measure(model: Path, num_threads: int, images: list[np.ndarray]) -> Row:
    """Return the row for a network and a number of threads."""
    estimator = create_estimator(model, num_threads)
    floor = load_interpreter(model, num_threads)
    details = floor.get_input_details()[0]
    random = np.random.default_rng(0)
    tensor = random.integers(0, 256, details['shape']).astype(details['dtype'])
    estimate, invoke, found = [], [], []
    for image in tqdm(images, desc=f'{model.stem}, {num_threads} threads', leave=False):
        begin = time.perf_counter()
        persons = estimator.estimate(image)
        middle = time.perf_counter()
        floor.set_tensor(details['index'], tensor)
        floor.invoke()
        end = time.perf_counter()
        estimate.append(middle - begin)
        invoke.append(end - middle)
        found.append(len(persons))
    estimate50, estimate99 = percentiles(estimate[WARM_UP:])
    invoke50, invoke99 = percentiles(invoke[WARM_UP:])
    return {
        'model': model.stem, 'threads': num_threads,
        'estimate p50 ms': estimate50, 'estimate p99 ms': estimate99,
        'invoke p50 ms': invoke50, 'invoke p99 ms': invoke99,
        'overhead ms': estimate50 - invoke50, 'overhead / invoke': estimate50 / invoke50 - 1,
        'people an image': float(np.mean(found)),
    }


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument('models', nargs='*', help='names or paths (default: all that are here)')
    arguments.add_argument('--frames', type=int, default=200)
    arguments.add_argument('--size', type=int, nargs=2, metavar=('WIDTH', 'HEIGHT'),
                           help='scale the clip, 640 by 480, to the images of another camera')
    options = arguments.parse_args()
    present = sorted(find_model(MODES[DEFAULT_MODEL].find).parent.glob('movenet_*.tflite'))
    models = [find_model(name) for name in options.models] or present
    images = read_clip(WARM_UP + options.frames, tuple(options.size) if options.size else None)
    rows = [measure(model, threads, images) for model in models for threads in (1, 2)]
    height, width = images[0].shape[:2]
    show(f'Pose networks, images of {width} x {height}, {runtime_name()}', rows)
    save(options.json, pose=rows)


if __name__ == '__main__':
    main()
