"""
Where people are: processor time of a frame, and how far off it is in rendered scenes.

Adults of all statures stand and sit at 1.5 to 8 m, turned at random, seen by a camera of 640 x 480
pixels whose pose network errs by two pixels. The depth image has their silhouettes, a wall behind,
noise and holes.
"""

from __future__ import annotations

import time

import cv2
import numpy as np

from act_ros.core.arguments import count_from
from act_ros.core.person import Person
from act_ros.core.place import Camera, Place, depth_pixels, locate
from act_ros.core.skeletons import LAYOUTS
from benchmarks.report import Row, one_line, parser, percentiles, save, show

SIZE = (640, 480)
CAMERA = Camera(525.0, 525.0, 320.0, 240.0)
CROWDS = (1, 3, 6)
JOINTS = LAYOUTS['coco17'].joints
# Of somebody of 1 m who stands and faces the camera: the feet at the origin, y down.
BODY = {'nose': (0, -.91, -.05), 'eye': (.02, -.935, -.04), 'ear': (.045, -.93, 0),
        'shoulder': (.107, -.818, 0), 'elbow': (.13, -.63, 0), 'wrist': (.14, -.485, -.02),
        'hip': (.06, -.53, 0), 'knee': (.06, -.285, 0), 'ankle': (.06, -.039, 0)}


def figure(rng: np.random.Generator, is_sitting: bool) -> np.ndarray:
    """Return somebody's joints (17, 3) in metres, turned at random."""
    parts = [joint.removeprefix('l_').removeprefix('r_') for joint in JOINTS]
    points = np.array([BODY[part] for part in parts], float)
    points[:, 0] *= np.where([joint.startswith('r_') for joint in JOINTS], -1, 1)
    if is_sitting:
        is_upper = [part not in ('knee', 'ankle') for part in parts]
        points[is_upper] += (0, .245, .245)
    points *= rng.normal(1.68, 0.1) * rng.normal(1.0, 0.03, (1, 3))
    turn = rng.uniform(-np.pi, np.pi)
    return points @ np.array([(np.cos(turn), 0, -np.sin(turn)), (0, 1, 0),
                              (np.sin(turn), 0, np.cos(turn))])


def scene(rng: np.random.Generator, is_sitting: bool) -> tuple[Person, np.ndarray, float]:
    """Return somebody, the depth image (480, 640) in metres, and the distance of the torso."""
    z = rng.uniform(1.5, 8.0)
    points = figure(rng, is_sitting) + (rng.uniform(-.3, .3) * z, 1.0, z)
    pixels = points[:, :2] / points[:, 2:] * (CAMERA.fx, CAMERA.fy) + (CAMERA.cx, CAMERA.cy)
    seen = ((pixels >= 0) & (pixels < SIZE)).all(axis=1)
    keypoints = np.column_stack((pixels + rng.normal(0, 2, (17, 2)), np.where(seen, 0.9, 0.05)))
    torso = [JOINTS.index(name) for name in ('l_shoulder', 'r_shoulder', 'r_hip', 'l_hip')]
    image = np.full(SIZE[::-1], z + 2.0, np.float32)
    outline, middle = pixels[torso].astype(np.int32), points[torso].mean(axis=0)
    width = round(0.3 / z * CAMERA.fx)  # a body is more than its joints
    cv2.polylines(image, [outline], True, float(middle[2]), max(width // 2, 1))
    cv2.fillPoly(image, [outline], float(middle[2]))
    image *= 1 + 0.003 * rng.standard_normal(image.shape, np.float32)
    image[rng.random(image.shape) < 0.2] = 0
    box = np.concatenate((pixels.min(axis=0), pixels.max(axis=0))).astype(np.float32)
    return Person(keypoints.astype(np.float32), 0.9, box), image, float(np.linalg.norm(middle))


def error(name: str, pairs: list[tuple[Place, float]]) -> Row:
    """Return how far off places are, as shares of the real distance."""
    known = [(place, real) for place, real in pairs if place.distance > 0]
    off = np.array([place.distance / real - 1 for place, real in known])
    within = np.mean([abs(p.distance - real) <= 2 * p.distance_error for p, real in known])
    low, middle, high = np.percentile(off * 100, (5, 50, 95))
    return {'scenes': name, 'known %': 100 * len(known) / len(pairs), 'error p5 %': low,
            'p50 %': middle, 'p95 %': high, 'within two deviations %': 100 * float(within)}


@one_line
def main() -> None:
    """Print both tables."""
    arguments = parser(__doc__)
    arguments.add_argument('--scenes', type=count_from(max(CROWDS)), default=500)
    options = arguments.parse_args()
    rng, errors, costs = np.random.default_rng(0), list[Row](), list[Row]()
    for posture in ('standing', 'sitting'):
        scenes = [scene(rng, posture == 'sitting') for _ in range(options.scenes)]
        for name, has_depth in (('estimated', False), ('measured', True)):
            errors.append(error(f'{posture}, {name}', [
                (locate(person, 'coco17', CAMERA, SIZE, (image, 1.0) if has_depth else None), real)
                for person, image, real in scenes]))
    message = type('Message', (), {
        'encoding': '32FC1', 'height': SIZE[1], 'width': SIZE[0], 'step': 4 * SIZE[0],
        'is_bigendian': 0, 'data': scenes[0][1].tobytes()})
    for people in CROWDS:
        for name, has_depth in (('estimated', False), ('measured', True)):
            times = []
            for _ in range(300):
                begin = time.process_time()
                depth = depth_pixels(message) if has_depth else None
                for person, _, _ in scenes[:people]:
                    locate(person, 'coco17', CAMERA, SIZE, depth)
                times.append(time.process_time() - begin)
            p50, p99 = percentiles(times)
            costs.append({'people': people, 'place': name, 'p50 ms': p50, 'p99 ms': p99})
    show('Error in rendered scenes', errors)
    show('Cost of a frame', costs)
    save(options.json, errors=errors, costs=costs)


if __name__ == '__main__':
    main()
