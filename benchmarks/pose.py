"""
What finding people costs, and from how far they are found, in every mode and for networks alone.

Cost: the demo clip's jumping man, once, three and six times in images of 640 x 480, against the
bare invoke of MultiPose 192x256, image by image in turn, so that they meet the same load; and the
calls of both networks times what one costs, mean and worst image, which no load changes.
Range: the clip made smaller and smaller in such an image; the least height of the man at which he
was seen in the last tenth of a second in 95 % of the images, and how far a person of 1.7 m is away
then, before a camera of 60 degrees.
Instead, with ``--clips FOLDER``, how often somebody is known in clips where the person is made 156
and 104 pixels tall; and with ``--empty 120``, how many ids are given in two minutes each of noise,
of an empty room and of a curtain that moves.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from act_ros.core.arguments import count_from, positive
from act_ros.core.resources import find_model, find_resource
from act_ros.core.text import printable
from act_ros.persons.estimator import PoseEstimator
from act_ros.persons.finder import PersonFinder
from act_ros.persons.follow import FindAndFollow
from act_ros.persons.models import MODES, create_estimator
from act_ros.persons.video import VideoSource
from act_ros.tflite.runtime import Interpreter, load_interpreter, runtime_name
from benchmarks.report import Row, one_line, parser, percentiles, save, show

WIDTH, HEIGHT, FIELD_OF_VIEW, PERSON = 640, 480, 60.0, 1.7
WARM_UP, SETTLED, LATELY, CALLS = 10, 15, 3, 30
HEIGHTS = (240, 160, 104, 72, 48, 36, 28, 22)
FLOOR = 'movenet_multipose_192x256'
VIDEOS = {'.avi', '.mkv', '.mp4'}


def images_of(path: Path) -> list[np.ndarray]:
    """Return the images (H, W, 3) of a video."""
    return [image for _, image in VideoSource(str(path)).play(realtime=False)]


def read_man(count: int) -> list[np.ndarray]:
    """Return images of the man alone, 240 x 320; there and back again, so that nothing jumps."""
    images = [image[0:320, 60:300] for image in images_of(find_resource('media/demo.mp4'))[:60]]
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


def read_clip(path: Path) -> list[np.ndarray]:
    """Return the images of a clip; tiny ones are enlarged, and made as bright as they can be."""
    images = []
    for image in images_of(path):
        if max(image.shape) < 100:
            image = (image - image.min()) * (255.0 / max(np.ptp(image), 1))
            image = cv2.resize(image.astype(np.uint8), None, fx=5, fy=5,
                               interpolation=cv2.INTER_CUBIC)
        images.append(image)
    return images


def known(model: str, images: list[np.ndarray], begin: int) -> tuple[list[bool], float]:
    """Return whether somebody was known lately, in each image, and the median height in pixels."""
    finder = PersonFinder(create_estimator(model))
    found = [finder.update((i + 1) * 33_333_333, image) or [] for i, image in enumerate(images)]
    heights = [p.box[3] - p.box[1] for persons in found for p in persons]
    return ([any(found[i - LATELY:i + 1]) for i in range(begin, len(found))],
            float(np.median(heights)) if heights else math.nan)


def read_people(folder: Path) -> list[tuple[list[np.ndarray], float]]:
    """
    Return images of each clip, and how tall the person is; without clips that nobody is found in.

    :raises ValueError: there is no other clip.
    """
    clips = []
    for path in sorted(folder.iterdir()):
        if path.suffix in VIDEOS:
            images = read_clip(path)
            shown, height = known('balanced', images, LATELY)
            if any(shown):
                clips.append((images, height))
            else:
                print(f'{printable(path)} is left out: nobody is found in it', file=sys.stderr)
    if not clips:
        raise ValueError(f'{folder} has no video ({", ".join(sorted(VIDEOS))}) of somebody')
    return clips


def small(model: str, clips: list[tuple[list[np.ndarray], float]], pixels: float) -> Row:
    """Return in what share of clips' images somebody is known, who was made ``pixels`` tall."""
    seen: list[bool] = []
    whole = 0
    for images, height in clips:
        shown = known(model, [on_canvas(image, pixels / height) for image in images], LATELY)[0]
        seen += shown
        whole += all(shown)
    return {'model': model, 'pixels tall': pixels, 'images with the person': float(np.mean(seen)),
            'clips with the person in all': f'{whole} of {len(clips)}'}


def on_canvas(image: np.ndarray, scale: float, columns: int = 2) -> np.ndarray:
    """Return an image of the usual size with another one, resized, at half or a third of it."""
    part = cv2.resize(image, None, fx=scale, fy=scale,
                      interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    part = part[:HEIGHT, :WIDTH]
    canvas = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    canvas[:] = part[0].mean(axis=0)
    y, x = (HEIGHT - part.shape[0]) // 2, (WIDTH - part.shape[1]) // columns
    canvas[y:y + part.shape[0], x:x + part.shape[1]] = part
    return canvas


def empty(what: str, number: int) -> np.ndarray:
    """Return an image, 480 x 640, in which nobody is."""
    if what == 'noise':
        image = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        return image if number % 2 else image // 64
    room = _room().copy()
    if what == 'curtain':
        x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
        wave = 127 + 90 * np.sin((x + 14 * np.sin(y / 60 + number / 6)) / 9)
        room[80:, 200:360] = wave[80:, 200:360, None].astype(np.uint8)
    return room


@cache
def _room() -> np.ndarray:
    """Return an image of soft shapes."""
    room = cv2.GaussianBlur(np.random.default_rng(1).integers(
        0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 25)
    return ((room - room.min()) * (255.0 / np.ptp(room))).astype(np.uint8)


def ghosts(model: str, seconds: float) -> Row:
    """Return how many ids are given where nobody is, at 15 images a second."""
    row: Row = {'model': model, 'seconds each': seconds}
    for what in ('noise', 'room', 'curtain'):
        finder, names = PersonFinder(create_estimator(model)), set[str]()
        for i in range(round(15 * seconds)):
            names |= {p.id for p in finder.update((i + 1) * 66_666_667, empty(what, i)) or []}
        row[what] = len(names)
    return row


def relative_cost(model: str, threads: int, floor: Interpreter) -> float:
    """Return what a call of a network costs as a multiple of the floor, called in turn."""
    network = load_interpreter(find_model(model), threads)
    took: list[list[float]] = [[], []]
    for _ in range(CALLS):
        for interpreter, times in zip((network, floor), took, strict=True):
            begin = time.perf_counter()
            interpreter.invoke()
            times.append(time.perf_counter() - begin)
    return float(np.median(took[0]) / np.median(took[1]))


def count_costs(estimator: PoseEstimator, threads: int, floor: Interpreter) -> list[float]:
    """Return a list to which every call of the estimator's networks will add its cost."""
    costs: list[float] = []
    if isinstance(estimator, FindAndFollow):
        mode = MODES[estimator.name]
        calls = {'propose': mode.find, 'look': mode.look}
    else:
        calls = {'estimate': estimator.name}
    for name, network in calls.items():
        setattr(estimator, name, _counted(
            getattr(estimator, name), relative_cost(network, threads, floor), costs))
    return costs


def _counted(call: Callable[..., Any], amount: float, costs: list[float]) -> Callable[..., Any]:
    @wraps(call)
    def call_and_count(*arguments: Any) -> Any:
        costs.append(amount)
        return call(*arguments)

    return call_and_count


def cost(model: str, threads: int, images: list[np.ndarray], floor: Interpreter) -> Row:
    """Return what an image costs."""
    estimator = create_estimator(model, threads)
    costs = count_costs(estimator, threads, floor)
    finder = PersonFinder(estimator)
    details = floor.get_input_details()[0]
    random = np.random.default_rng(0)
    tensor = random.integers(0, 256, details['shape']).astype(details['dtype'])
    took, bare, calls, found = [], [], [], set[str]()
    for i, image in enumerate(images):
        begin = time.perf_counter()
        persons = finder.update((i + 1) * 33_333_333, image) or []
        middle = time.perf_counter()
        floor.set_tensor(details['index'], tensor)
        floor.invoke()
        took.append(middle - begin)
        bare.append(time.perf_counter() - middle)
        calls.append(sum(costs))
        costs.clear()
        found |= {person.id for person in persons}
    took, bare, calls = took[WARM_UP:], bare[WARM_UP:], calls[WARM_UP:]
    return {'p50 ms': percentiles(took)[0], 'mean ms': 1e3 * float(np.mean(took)),
            'p99 ms': percentiles(took)[1],
            'mean / MultiPose 192x256': float(np.mean(took) / np.mean(bare)),
            'calls x cost': float(np.mean(calls)), 'worst image': max(calls), 'ids': len(found)}


def reach(model: str, man: list[np.ndarray], height: float) -> Row:
    """Return the share of images in which the man is known, by his height, and the range."""
    focal = WIDTH / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    row: Row = {'model': model}
    least = math.inf
    for pixels in HEIGHTS:
        images = [on_canvas(image, pixels / height, columns=3) for image in man]
        share = float(np.mean(known(model, images, SETTLED)[0]))
        row[f'{pixels} px'] = share
        if share < 0.95:
            break
        least = pixels
    row['range m'] = focal * PERSON / least
    return row


@one_line
def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument(
        'models', nargs='*', help='modes, names or paths (default: all modes)')
    arguments.add_argument('--frames', type=count_from(max(WARM_UP, SETTLED) + 1), default=110)
    arguments.add_argument('--threads', type=count_from(1), default=1)
    arguments.add_argument(
        '--clips', type=Path, help='clips of one person, made small: how often is somebody known?')
    arguments.add_argument('--empty', type=positive, default=0.0, metavar='SECONDS',
                           help='where nobody is, for so long: how many ids are given?')
    options = arguments.parse_args()
    models: list[str] = options.models or [*MODES, FLOOR]
    tables: dict[str, list[Row]] = {}
    if options.clips:
        clips = read_people(options.clips)
        tables[f'{len(clips)} clips, made small'] = [
            small(model, clips, pixels) for model in models for pixels in (156, 104)]
    if options.empty:
        tables['Ids given where nobody is'] = [ghosts(model, options.empty) for model in models]
    if not tables:
        man = read_man(options.frames)
        height = known('balanced', man[:60], SETTLED)[1]
        floor = load_interpreter(find_model(FLOOR), options.threads)
        tables[f'Cost of an image, {options.threads} thread(s), {runtime_name()}'] = [
            {'model': model, 'people': people,
             **cost(model, options.threads, crowd(man, people), floor)}
            for model in tqdm(models, desc='cost', leave=False) for people in (1, 3, 6)]
        tables[f'Share of images with the man known, {WIDTH} x {HEIGHT}, '
               f'{FIELD_OF_VIEW:.0f} degrees'] = [
            reach(model, man, height) for model in tqdm(models, desc='range', leave=False)]
    for title, rows in tables.items():
        show(title, rows)
    save(options.json, **tables)


if __name__ == '__main__':
    main()
