"""Where people are: figures of known size, seen by cameras of known lenses."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from act_ros.core.action import Action, Status
from act_ros.core.frame import Frame
from act_ros.core.person import Person
from act_ros.core.place import (
    NOWHERE,
    Camera,
    DepthError,
    PlaceKind,
    depth_pixels,
    image_size_of,
    locate,
)
from act_ros.core.places import PlaceOptions, Places
from act_ros.core.skeletons import LAYOUTS

SIZE = (640, 480)
CAMERA = Camera(525.0, 525.0, 320.0, 240.0)
# A woman of 1.68 m who faces the camera, metres; her feet at the origin, y down, her left at +x.
BODY = {'nose': (0, -1.54, 0), 'eye': (.03, -1.57, 0), 'ear': (.07, -1.55, .08),
        'shoulder': (.18, -1.37, .05), 'elbow': (.22, -1.05, .05), 'wrist': (.24, -.8, 0),
        'hip': (.1, -.89, .05), 'knee': (.1, -.48, .05), 'ankle': (.1, -.06, .05)}


def figure(layout: str = 'coco17') -> np.ndarray:
    """Return her joints (17, 3) in metres."""
    points = []
    for joint in LAYOUTS[layout].joints:
        x, y, z = BODY[joint.removeprefix('l_').removeprefix('r_')]
        points.append((-x if joint.startswith('r_') else x, y, z))
    return np.array(points, float)


def seen(points: np.ndarray, camera: Camera = CAMERA) -> Person:
    """Return how points (17, 3) in the camera's frame look."""
    pixels = points[:, :2] / points[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    keypoints = np.column_stack((pixels, np.ones(len(points)))).astype(np.float32)
    box = np.concatenate((pixels.min(axis=0), pixels.max(axis=0))).astype(np.float32)
    return Person(keypoints, 0.9, box, 'p1')


def scene(person: Person, z: float, wall: float = 9.0, size: tuple[int, int] = SIZE) -> Any:
    """Return a depth image in metres: a wall, and before it somebody as wide as her joints."""
    image = np.full(size[::-1], wall, np.float32)
    joints = LAYOUTS['coco17'].joints
    corners = person.keypoints[[joints.index(n) for n in (
        'l_shoulder', 'r_shoulder', 'l_hip', 'r_hip')], :2] * (np.array(size) / SIZE)
    (x_min, y_min), (x_max, y_max) = corners.min(axis=0), corners.max(axis=0)
    # Joints lie at the edge of the silhouette, which the image of a depth camera frays.
    image[int(y_min) + 2:int(y_max) - 2, int(x_min) + 3:int(x_max) - 3] = z
    return image


def message(image: np.ndarray, encoding: str = '32FC1', padding: int = 0) -> Any:
    """Return a depth image as a message."""
    kind = {'32FC1': '<f4', '16UC1': '<u2'}.get(encoding, '<f4')
    rows = np.ascontiguousarray(image.astype(kind)).view(np.uint8).reshape(len(image), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    return SimpleNamespace(encoding=encoding, height=image.shape[0], width=image.shape[1],
                           step=rows.shape[1], is_bigendian=0, data=rows.tobytes())


@pytest.mark.parametrize(('x', 'z'), [(0.0, 2.5), (-1.2, 4.0), (1.5, 6.0)])
def test_a_bearing_and_an_estimate(x: float, z: float) -> None:
    """Of whoever stands upright, within the uncertainty that is told; right is positive."""
    place = locate(seen(figure() + (x, 0.9, z)), 'coco17', CAMERA, SIZE)
    assert place.kind is PlaceKind.ESTIMATED
    assert place.bearing == pytest.approx(math.atan2(x, z + 0.05), abs=0.01)
    real = math.hypot(x, 0.9 - 1.13, z + 0.05)
    assert abs(place.distance - real) < place.distance_error < 0.2 * real
    assert place.distance == pytest.approx(real, rel=0.06)
    assert place.position == pytest.approx((x, 0.9 - 1.13, z + 0.05), rel=0.06, abs=0.03)


@pytest.mark.parametrize('cut', ['none', 'legs', 'all but shoulders', 'sitting', 'half turned'])
def test_an_estimate_of_what_is_cut_off_or_bent(cut: str) -> None:
    """Some length always tells; the nearest is believed."""
    points = figure()
    joints = LAYOUTS['coco17'].joints
    if cut == 'sitting':  # thighs towards the camera, so that head to foot is short
        points[[joints.index('l_knee'), joints.index('r_knee')]] += (0, -.35, -.4)
        points[:, 1] += np.where(np.isin(joints, ('l_knee', 'r_knee', 'l_ankle', 'r_ankle')),
                                 0.0, 0.4)
    if cut == 'half turned':
        points = points @ np.array([(math.cos(1), 0, -math.sin(1)), (0, 1, 0),
                                    (math.sin(1), 0, math.cos(1))])
    person = seen(points + (0.2, 0.8, 3.0))
    if cut == 'legs':
        person.keypoints[13:, 2] = 0.0
    if cut == 'all but shoulders':
        person.keypoints[7:, 2] = 0.0
    place = locate(person, 'coco17', CAMERA, SIZE)
    assert place.kind is PlaceKind.ESTIMATED
    assert abs(place.position[2] - 3.05) < max(place.distance_error, 0.3)


@pytest.mark.parametrize('ends', [
    ('nose', 'l_ankle'), ('nose', 'r_ankle'), ('l_hip', 'l_ankle'), ('r_hip', 'r_ankle'),
    ('l_shoulder', 'l_hip'), ('r_shoulder', 'r_hip'), ('l_shoulder', 'r_shoulder')])
def test_each_length_alone_tells_the_distance(ends: tuple[str, str]) -> None:
    person = seen(figure() + (0.0, 0.8, 3.0))
    person.keypoints[[joint not in ends for joint in LAYOUTS['coco17'].joints], 2] = 0.0
    assert locate(person, 'coco17', CAMERA, SIZE).position[2] == pytest.approx(3.05, rel=0.06)


@pytest.mark.parametrize(('width', 'is_nearer'), [(1.1, False), (1.3, True)])
def test_a_surer_length_yields_only_to_one_that_is_surely_nearer(
        width: float, is_nearer: bool) -> None:
    """Shoulders a little broader than usual are no reason to think somebody nearer."""
    usual, broad = figure(), figure()
    broad[5:7, 0] *= width
    z, z_broad = (locate(seen(points + (0.0, 0.8, 3.0)), 'coco17', CAMERA, SIZE).position[2]
                  for points in (usual, broad))
    assert (z_broad < z) is is_nearer


@pytest.mark.parametrize(('encoding', 'padding'), [('16UC1', 0), ('16UC1', 6), ('32FC1', 6)])
@pytest.mark.parametrize('size', [(640, 480), (320, 240), (1280, 960)])
def test_a_depth_image_measures(encoding: str, padding: int, size: tuple[int, int]) -> None:
    """Whatever its units and size; the wall behind and beside the body does not count."""
    person = seen(figure() + (-0.8, 0.8, 3.0))
    image = scene(person, 2.9, size=size)
    if encoding == '16UC1':
        image = (image * 1000).astype(np.uint16)
    pixels = depth_pixels(message(image, encoding, padding))
    place = locate(person, 'coco17', CAMERA, SIZE, pixels)
    assert place.kind is PlaceKind.MEASURED
    assert place.position[2] == pytest.approx(2.9, abs=1e-3)
    assert place.position[0] / 2.9 == pytest.approx(-0.8 / 3.05, abs=0.01)
    assert place.distance == pytest.approx(math.dist((0, 0, 0), place.position))
    assert 0.01 * place.distance <= place.distance_error < 0.1


def test_the_error_of_a_measured_distance_is_the_spread_of_its_depths() -> None:
    """A standard deviation in metres, at any distance."""
    for z, spread in ((2.9, 0.05), (2.9, 0.2), (8.0, 0.4)):
        noisy = np.random.default_rng(0).normal(z, spread, SIZE[::-1])
        place = locate(seen(figure() + (0.0, 0.8, 3.0)), 'coco17', CAMERA, SIZE, (noisy, 1.0))
        assert place.distance_error == pytest.approx(spread, rel=0.3)


def test_holes_and_a_body_half_hidden() -> None:
    """Up to half of the torso may be 0, NaN, infinite or an arm; a hole as a whole is no depth."""
    person, rng = seen(figure() + (0.0, 0.8, 3.0)), np.random.default_rng(0)
    image = scene(person, 2.9)
    holes = rng.choice([0.0, np.nan, np.inf, -1.0, 500.0], image.shape)
    holed = np.where(rng.random(image.shape) < 0.6, holes, image)
    assert locate(person, 'coco17', CAMERA, SIZE, (holed, 1.0)).position[2] == pytest.approx(2.9)
    image[:, 320:] = np.where(image[:, 320:] == 2.9, 1.5, image[:, 320:])  # somebody's back
    nearer = locate(person, 'coco17', CAMERA, SIZE, (image, 1.0))
    assert nearer.distance_error > 0.3  # one of the two, and not sure of it
    empty = locate(person, 'coco17', CAMERA, SIZE, (np.zeros(SIZE[::-1]), 1.0))
    assert empty.kind is PlaceKind.ESTIMATED


def test_what_is_hardly_seen() -> None:
    """A head alone has a bearing, and a position where there is depth; nothing seen, the box."""
    person = seen(figure() + (1.0, 0.8, 3.0))
    person.keypoints[5:, 2] = 0.0
    person.box[::2] += 100  # means nothing while a joint is seen
    alone = locate(person, 'coco17', CAMERA, SIZE)
    assert alone.kind is PlaceKind.BEARING and math.isnan(alone.distance)
    assert alone.bearing == pytest.approx(math.atan2(1.0, 3.0), abs=0.02)
    person.keypoints[5, 2] = 1.0  # a shoulder
    image = np.full(SIZE[::-1], 9.0)  # a wall, and before it what is between nose and shoulder
    (left, top), (right, bottom) = person.keypoints[[0, 5], :2].astype(int)
    image[top:bottom, left:right] = 2.5
    depth = (image, 1.0)
    assert locate(person, 'coco17', CAMERA, SIZE, depth).position[2] == pytest.approx(2.5)
    person.keypoints[:] = np.nan
    assert locate(person, 'coco17', CAMERA, SIZE, depth).kind is PlaceKind.BEARING
    person.box[:] = np.nan
    assert locate(person, 'coco17', CAMERA, SIZE, depth) == NOWHERE
    outside = Person(seen(figure() + (40.0, 0.8, 3.0)).keypoints, 1.0, person.box)
    assert locate(outside, 'coco17', CAMERA, SIZE, depth).kind is PlaceKind.ESTIMATED


def test_a_joint_that_is_half_a_number_is_not_seen() -> None:
    """The other joints of the head stand for it."""
    half, unseen = (seen(figure() + (0.0, 0.8, 3.0)) for _ in range(2))
    half.keypoints[3, 0], unseen.keypoints[3, 2] = np.nan, 0.0
    assert locate(half, 'coco17', CAMERA, SIZE) == locate(unseen, 'coco17', CAMERA, SIZE)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout(layout: str) -> None:
    """Joints are known by name."""
    coco = LAYOUTS['coco17'].joints
    points = figure() + (0.0, 0.8, 3.0)
    where = [joint.replace('foot', 'ankle') for joint in LAYOUTS[layout].joints]
    rows = [points[coco.index(joint)] if joint in coco else points[0] for joint in where]
    place = locate(seen(np.array(rows)), layout, CAMERA, SIZE)
    assert place.position[2] == pytest.approx(3.05, rel=0.06)


@pytest.mark.parametrize(('change', 'text'), [
    ({'encoding': 'rgb8'}, "encoding 'rgb8'; known: 16UC1, 32FC1"),
    ({'data': b'12'}, '640x480 pixels with 2 bytes'), ({'step': 5}, '640x480 pixels'),
    ({'width': 0}, '0x480'),
])
def test_depth_images_that_are_none(change: dict[str, Any], text: str) -> None:
    """One clear error."""
    made = message(np.ones(SIZE[::-1]))
    made.__dict__.update(change)
    with pytest.raises(DepthError, match=text):
        depth_pixels(made)


def info(k: np.ndarray, **values: Any) -> Any:
    """Return a camera's calibration, of a sensor of 640x480 pixels."""
    region = {'x_offset': 0, 'y_offset': 0, 'width': 0, 'height': 0}
    roi = SimpleNamespace(**{key: values.pop(key, none) for key, none in region.items()})
    return SimpleNamespace(**{
        'k': k, 'width': 640, 'height': 480, 'binning_x': 0, 'binning_y': 0, **values, 'roi': roi})


@pytest.mark.parametrize(('sent', 'size', 'camera'), [
    ({}, (640, 480), Camera(500, 510, 320, 240)),
    ({'binning_x': 2, 'binning_y': 2}, (320, 240), Camera(250, 255, 160, 120)),
    ({'x_offset': 240, 'y_offset': 40, 'width': 320, 'height': 400}, (320, 400),
     Camera(500, 510, 80, 200)),
    ({'x_offset': 240, 'y_offset': 40, 'width': 320, 'height': 400, 'binning_x': 2,
      'binning_y': 2}, (160, 200), Camera(250, 255, 40, 100)),
    ({'binning_x': 2, 'binning_y': 1}, (320, 480), Camera(250, 510, 160, 240)),
    ({'binning_x': 0, 'binning_y': 2}, (640, 240), Camera(500, 255, 320, 120)),
])
def test_a_camera_that_sends_part_of_its_sensor_sees_in_the_same_directions(
    sent: dict[str, int], size: tuple[int, int], camera: Camera,
) -> None:
    """The matrix of a CameraInfo is of the whole sensor, whatever region of it is sent."""
    made = info(np.array([500, 0, 320, 0, 510, 240, 0, 0, 1.0]), **sent)
    assert image_size_of(made) == size
    assert Camera.of_info(made) == Camera.of_info(made, size[0]) == camera
    half = Camera.of_info(made, size[0] // 2)  # scaled on the way
    assert half == Camera(*(value / 2 for value in (camera.fx, camera.fy, camera.cx, camera.cy)))


def test_a_camera_that_is_not_calibrated_is_none() -> None:
    """Zeros and NaN."""
    assert Camera.of_info(info(np.zeros(9))) is None
    assert Camera.of_info(info(np.full(9, np.nan))) is None
    # The image's edges lie at the field of view's.
    corners = Camera.of_view(640, 480, 90.0).points(
        np.array([[0, 0], [320, 240], [640, 480]]), 2.0)
    assert np.allclose(corners, np.array([[-2, -1.5, 2], [0, 0, 2], [2, 1.5, 2]]))
    edge = Camera.of_view(640, 480, 60.0).rays(np.array([640, 240]))
    assert np.allclose(edge, (math.tan(math.radians(30.0)), 0.0))


def test_of_whom_nothing_is_seen_nothing_is_known() -> None:
    """An empty box is nowhere; somebody lost stays where they were, whatever the guess."""
    unseen = seen(figure() + (0.4, 0.9, 3.0))
    unseen.keypoints[:, 2] = 0.0
    nowhere = Person(unseen.keypoints, 0.1, np.zeros(4, np.float32), 'p1')
    assert locate(nowhere, 'coco17', CAMERA, SIZE) == NOWHERE
    assert locate(unseen, 'coco17', CAMERA, SIZE).kind is PlaceKind.BEARING

    places = Places(PlaceOptions, Counter(), print)
    places.info = info(np.array([525, 0, 320, 0, 525, 240, 0, 0, 1.0]))
    told = []
    for status, person in ((Status.RECOGNIZED, seen(figure() + (0.4, 0.9, 3.0))),
                           (Status.LOST, nowhere), (Status.LOST, None)):
        action = Action('p1', status, '', -1, 0.0, np.zeros(0), 0.0, 0, 0, 0, np.zeros(4),
                        np.zeros(0))
        places.fill(Frame(0, size=SIZE, layout='coco17', persons=[person] if person else [],
                          actions=[action]))
        told.append(action.place)
    assert told[0].kind is PlaceKind.ESTIMATED and told[1:] == told[:1] * 2
