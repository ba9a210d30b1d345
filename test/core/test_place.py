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
    Place,
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


@pytest.mark.parametrize(('near', 'far'), [(0.4, 9.0), (2.0, 3.0)])
def test_a_measured_distance_is_that_of_the_larger_part_of_the_torso(
    near: float, far: float,
) -> None:
    person = seen(figure() + (0.0, 0.8, 3.0))
    right, left = person.keypoints[[6, 5], 0]
    image = np.full(SIZE[::-1], far)
    image[:, :round(right + 0.56 * (left - right))] = near
    assert locate(person, 'coco17', CAMERA, SIZE, (image, 1.0)).position[2] == near


@pytest.mark.parametrize('shift', [(640, 0), (-640, 0), (0, 480), (0, -480)])
def test_a_torso_beyond_the_edge_has_no_depth(shift: tuple[int, int]) -> None:
    """Also not where it touches the edge: the first pixel beyond an image is not its first."""
    person = seen(figure() + (0.0, 0.8, 3.0))
    for place in ((0.0, 0.0), shift):
        corner = np.where(np.array(shift) < 0, np.array(SIZE) - 1, 0)
        person.keypoints[[5, 6, 11, 12], :2] = corner + place
        located = locate(person, 'coco17', CAMERA, SIZE, (np.full(SIZE[::-1], 2.5), 1.0))
        assert (located.kind is PlaceKind.MEASURED) is (place is not shift)


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


def test_of_poses_that_are_not_the_layouts_the_box_has_a_bearing() -> None:
    whole = seen(figure() + (1.0, 0.8, 3.0))
    part = Person(whole.keypoints[:5], whole.score, whole.box, whole.id)
    place = locate(part, 'coco17', CAMERA, SIZE)
    assert place.kind is PlaceKind.BEARING
    assert place.bearing == pytest.approx(math.atan2(1.0, 3.0), abs=0.02)


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
    ({'width': 0}, '0x480'), ({'height': 0}, '640x0'),
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


def test_sizes_are_whole_pixels_and_may_not_be_told() -> None:
    k = np.array([500, 0, 320, 0, 510, 240, 0, 0, 1.0])
    odd, untold = info(k, binning_x=2), info(k)
    odd.width, untold.width, untold.height = 641, 0, 0
    assert image_size_of(odd) == (320, 480)
    assert image_size_of(untold) == (0, 0)
    assert Camera.of_info(untold) == Camera.of_info(untold, 640) == Camera(500, 510, 320, 240)


def test_a_camera_that_is_not_calibrated_is_none() -> None:
    """Zeros and NaN."""
    assert Camera.of_info(info(np.zeros(9))) is None
    assert Camera.of_info(info(np.full(9, np.nan))) is None
    for number, value in ((0, 0.0), (4, 0.0), (0, np.nan), (2, np.nan), (4, np.inf), (5, np.inf)):
        k = np.array([500, 0, 320, 0, 510, 240, 0, 0, 1.0])
        k[number] = value
        assert Camera.of_info(info(k)) is None
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


K = np.array([525, 0, 320, 0, 525, 240, 0, 0, 1.0])


def watching(status: Status = Status.RECOGNIZED) -> Action:
    """Return what somebody does whose place is not known yet."""
    return Action('p1', status, '', -1, 0.0, np.zeros(0), 0.0, 0, 0, 0, np.zeros(4), np.zeros(0))


def placed(
    places: Places, stamp: int = 0, size: tuple[int, int] = SIZE, is_there: bool = True,
) -> Place:
    """Return the place of somebody of whom one frame tells."""
    action, person = watching(), seen(figure() + (0.4, 0.9, 3.0))
    places.fill(Frame(stamp, size=size, layout='coco17', persons=[person] if is_there else [],
                      actions=[action]))
    return action.place


@pytest.mark.parametrize(('depth', 'k', 'told'), [
    (False, None, {}), (True, None, {'depth without camera_info': 2}),
    (False, np.zeros(9), {'camera_info without a calibration': 2})])
def test_without_a_calibration_nothing_is_known_and_it_is_said_why(
    depth: bool, k: np.ndarray | None, told: dict[str, int],
) -> None:
    drops: Counter[str] = Counter()
    places = Places(lambda: PlaceOptions(depth=depth), drops, print)
    places.info = None if k is None else info(k)
    assert placed(places) == placed(places) == NOWHERE
    assert +drops == told


def test_the_depth_image_of_the_time_is_taken() -> None:
    """The nearest in time, whatever came last; the frame's own size counts, or the camera's."""
    drops: Counter[str] = Counter()
    places = Places(lambda: PlaceOptions(depth=True, tolerance=0.05), drops, print)
    places.info = info(K)
    assert places.image_size == SIZE
    for i, stamp in enumerate((2, 1, 3)):
        places.add_depth(stamp * 10**9, message(np.full(SIZE[::-1], 2.0 + i)))
    for stamp, z in ((1, 3.0), (2, 2.0), (3, 4.0)):
        for off, size in ((0.0, SIZE), (0.05, SIZE), (-0.05, (0, 0))):
            place = placed(places, round((stamp + off) * 1e9), size)
            assert place.kind is PlaceKind.MEASURED and place.position[2] == z
    assert not +drops
    assert placed(places, round(1.051 * 1e9)).kind is PlaceKind.ESTIMATED
    assert +drops == {'no depth image of that time': 1}
    # Of images of half the size the matrix is half as large: the direction stays the same.
    assert placed(places, 9 * 10**9, (320, 240)).bearing > placed(places, 9 * 10**9).bearing


def test_nobody_to_measure_is_no_fault_and_a_hole_where_somebody_is_is_one() -> None:
    drops: Counter[str] = Counter()
    places = Places(lambda: PlaceOptions(depth=True), drops, print)
    places.info = info(K)
    places.add_depth(0, message(np.zeros(SIZE[::-1])))
    assert placed(places).kind is PlaceKind.ESTIMATED
    assert drops['no depth on a person'] == 1
    assert placed(places, is_there=False).kind is PlaceKind.ESTIMATED, 'where they were last'
    assert placed(places, 5 * 10**9, is_there=False).kind is PlaceKind.ESTIMATED
    assert +drops == {'no depth on a person': 1}
    places.fill(Frame(0, size=SIZE, layout='coco17', persons=[], actions=None))


@pytest.mark.parametrize(('size', 'is_usable'), [
    ((640, 480), True), ((320, 240), True), ((640, 472), True), ((640, 400), False),
    ((848, 480), False), ((480, 640), False)])
def test_a_depth_image_of_another_shape_is_not_registered(
    size: tuple[int, int], is_usable: bool,
) -> None:
    """It would measure beside the people; what is wrong is told, and an estimate stays."""
    told: list[str] = []
    places = Places(lambda: PlaceOptions(depth=True), Counter(),
                    lambda cause, error: told.append(f'{cause}: {error}'))
    places.info = info(K)
    places.add_depth(0, message(np.full(size[::-1], 2.5)))
    assert (placed(places).kind is PlaceKind.MEASURED) is is_usable
    assert told == ([] if is_usable else [
        f'unusable depth image: depth image of {size[0]}x{size[1]} pixels is not registered to '
        'images of 640x480'])
