"""
What finding people costs, and from how far they are found, in every mode and for networks alone.

Cost: the demo clip's jumping man, once, three and six times in images of 640 x 480, against the
bare invoke of MultiPose 192x256, image by image in turn, so that they meet the same load.
Range: the clip made smaller and smaller in such an image; the least height of the man at which he
was seen in the last tenth of a second in 95 % of the images, and how far a person of 1.7 m is away
then, before a camera of 60 degrees.
"""

from __future__ import annotations

import math
import time

import cv2
import numpy as np
from tqdm import tqdm

from act_ros.core.resources import find_model, find_resource
from act_ros.persons.finder import PersonFinder
from act_ros.persons.models import MODES, create_estimator
from act_ros.tflite.runtime import Interpreter, load_interpreter, runtime_name
from benchmarks.report import Row, parser, percentiles, save, show

WIDTH, HEIGHT, FIELD_OF_VIEW, PERSON = 640, 480, 60.0, 1.7
WARM_UP, SETTLED, LATELY = 10, 15, 3
HEIGHTS = (240, 160, 104, 72, 48, 36, 28, 22)
FLOOR = 'movenet_multipose_192x256'


def read_man(count: int) -> list[np.ndarray]:
    """Return images of the man alone, 240 x 320; there and back again, so that nothing jumps."""
    video = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    images = [video.read()[1][0:320, 60:300] for _ in range(60)]
    video.release()
    images += images[-2:0:-1]
    return [images[i % len(images)] for i in range(count)]


def crowd(man: list[np.ndarray], people: int) -> list[np.ndarray]:
    """Return images with so many of him, each at another moment, in one row or two."""
    rows, columns = (1 if people <= 3 else 2), min(people, 3)
    size = (WIDTH // columns, HEIGHT // rows)
    scale = min(size[0] / man[0].shape[1], size[1] / man[0].shape[0])
    made = []
    for i in range(len(man)):
        image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        for k in range(people):
            part = cv2.resize(man[(i + 17 * k) % len(man)], None, fx=scale, fy=scale)
            y, x = k // columns * size[1], k % columns * size[0]
            image[y:y + part.shape[0], x:x + part.shape[1]] = part
        made.append(image)
    return made


def far(man: list[np.ndarray], scale: float) -> list[np.ndarray]:
    """Return images with him made smaller by ``scale``, before a plain wall."""
    made = []
    for image in man:
        part = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        canvas[:] = part[0].mean(axis=0)
        y, x = (HEIGHT - part.shape[0]) // 2, (WIDTH - part.shape[1]) // 3
        canvas[y:y + part.shape[0], x:x + part.shape[1]] = part
        made.append(canvas)
    return made


def cost(model: str, threads: int, images: list[np.ndarray], floor: Interpreter) -> Row:
    """Return what an image costs."""
    finder = PersonFinder(create_estimator(model, threads))
    details = floor.get_input_details()[0]
    random = np.random.default_rng(0)
    tensor = random.integers(0, 256, details['shape']).astype(details['dtype'])
    took, bare, found = [], [], set[str]()
    for i, image in enumerate(images):
        begin = time.perf_counter()
        persons = finder.update((i + 1) * 33_333_333, image) or []
        middle = time.perf_counter()
        floor.set_tensor(details['index'], tensor)
        floor.invoke()
        took.append(middle - begin)
        bare.append(time.perf_counter() - middle)
        found |= {person.id for person in persons}
    took, bare = took[WARM_UP:], bare[WARM_UP:]
    return {'p50 ms': percentiles(took)[0], 'mean ms': 1e3 * float(np.mean(took)),
            'p99 ms': percentiles(took)[1],
            'mean / MultiPose 192x256': float(np.mean(took) / np.mean(bare)), 'ids': len(found)}


def reach(model: str, man: list[np.ndarray], height: float) -> Row:
    """Return the share of images in which the man is known, by his height, and the range."""
    focal = WIDTH / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    row: Row = {'model': model}
    least = math.inf
    for pixels in HEIGHTS:
        finder = PersonFinder(create_estimator(model))
        images = far(man, pixels / height)
        seen = [bool(finder.update((i + 1) * 33_333_333, image))
                for i, image in enumerate(images)]
        known = [any(seen[i - LATELY:i + 1]) for i in range(SETTLED, len(seen))]
        row[f'{pixels} px'] = float(np.mean(known))
        if np.mean(known) < 0.95:
            break
        least = pixels
    row['range m'] = focal * PERSON / least
    return row


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument(
        'models', nargs='*', help='modes, names or paths (default: all modes)')
    arguments.add_argument('--frames', type=int, default=110)
    arguments.add_argument('--threads', type=int, default=1)
    options = arguments.parse_args()
    models: list[str] = options.models or [*MODES, FLOOR]
    man = read_man(options.frames)
    finder = PersonFinder(create_estimator())
    known = [person for i, image in enumerate(man[:60])
             for person in finder.update((i + 1) * 33_333_333, image) or []]
    height = float(np.median([person.box[3] - person.box[1] for person in known]))
    floor = load_interpreter(find_model(FLOOR), options.threads)
    costs = [{'model': model, 'people': people,
              **cost(model, options.threads, crowd(man, people), floor)}
             for model in tqdm(models, desc='cost', leave=False) for people in (1, 3, 6)]
    show(f'Cost of an image, {options.threads} thread(s), {runtime_name()}', costs)
    ranges = [reach(model, man, height) for model in tqdm(models, desc='range', leave=False)]
    show(f'Share of images with the man known, {WIDTH} x {HEIGHT}, {FIELD_OF_VIEW:.0f} degrees',
         ranges)
    save(options.json, cost=costs, range=ranges)


if __name__ == '__main__':
    main()
