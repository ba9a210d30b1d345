"""Pose networks on the demonstration clip, and the letterbox around them."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_ros.core.person import Person
from act_ros.core.resources import find_model, find_resource
from act_ros.core.skeletons import get_layout
from act_ros.persons.estimator import PoseEstimator, person_of
from act_ros.persons.letterbox import Letterbox, Region, brightness
from act_ros.persons.models import checksum, create_estimator
from act_ros.persons.movenet import SinglePose, crop_region
from act_ros.tflite.errors import ModelError

COCO = {name: index for index, name in enumerate(get_layout('coco17').joints)}
MODELS = ('movenet_multipose_192x256', 'movenet_lightning')


@pytest.fixture(scope='module')
def clip() -> list[np.ndarray]:
    """Return the first 100 images: a man does jumping jacks, from 40 on a woman walks by."""
    video = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    images = [video.read()[1] for _ in range(100)]
    video.release()
    return images


@pytest.fixture(scope='module')
def multipose() -> PoseEstimator:
    """Return the estimator for several people."""
    return create_estimator(MODELS[0])


@pytest.fixture(scope='module')
def lightning() -> PoseEstimator:
    """Return the estimator for one person."""
    return create_estimator('movenet_lightning')


def _check(person: Person, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    assert person.keypoints.shape == (17, 3)
    assert person.keypoints.dtype == person.box.dtype == np.float32
    assert np.isfinite(person.keypoints).all()
    assert 0 <= person.score <= 1
    x_min, y_min, x_max, y_max = person.box
    assert 0 <= x_min <= x_max <= width
    assert 0 <= y_min <= y_max <= height
    seen = person.keypoints[person.keypoints[:, 2] > 0.3]
    assert (seen[:, :2] > -2).all()
    assert (seen[:, :2] < (width + 2, height + 2)).all()


# ---- letterbox

_SIZES = st.integers(1, 700)


@given(height=_SIZES, width=_SIZES, rows=st.integers(1, 40), columns=st.integers(1, 40),
       x=st.floats(0, 1), y=st.floats(0, 1))
@settings(max_examples=60)
def test_letterbox_maps_back_what_it_maps(
    height: int, width: int, rows: int, columns: int, x: float, y: float,
) -> None:
    letterbox = Letterbox(32 * rows, 32 * columns)
    letterbox.fill(np.zeros((height, width, 3), np.uint8))
    low, high = letterbox.to_source(np.array([[0.0, 0.0], [1.0, 1.0]]))
    # The whole image is in the tensor, and what is a share of the tensor is that of the span.
    assert (low < 1e-6).all() and (high > np.array((width, height)) - 1e-6).all()
    np.testing.assert_allclose(
        letterbox.to_source(np.array([x, y])), low + (high - low) * (x, y), atol=1e-6)


@given(height=st.integers(1, 300), width=st.integers(1, 300),
       dtype=st.sampled_from([np.int32, np.uint8, np.float32]))
@settings(max_examples=40)
def test_letterbox_shows_the_image_unbent_and_black_around(
    height: int, width: int, dtype: type[np.generic],
) -> None:
    image = np.full((height, width, 3), (110, 120, 250), np.uint8)
    letterbox = Letterbox(96, 128, dtype)
    letterbox.fill(np.full((64, 90, 3), 255, np.uint8))  # no trace of it may stay
    tensor = letterbox.fill(image)
    assert tensor.shape == (1, 96, 128, 3)
    assert tensor.dtype == dtype
    shown = (tensor[0] == (250, 120, 110)).all(axis=-1)  # BGR in, RGB out
    assert (tensor[0][~shown] == 0).all()
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    assert shown.sum() == len(rows) * len(columns)
    ratio = min(96 / height, 128 / width)
    assert abs(len(rows) - max(height * ratio, 1)) <= 1
    assert abs(len(columns) - max(width * ratio, 1)) <= 1


_SCENES = [  # mean, deviation
    (0, 0), (1, 1), (3, 2), (16, 15), (35, 50), (60, 40), (128, 5), (128, 12), (220, 8), (250, 3),
    (110, 60)]


@pytest.mark.parametrize(('mean', 'deviation'), _SCENES)
def test_letterbox_clears_up_what_is_dark_or_hazy(mean: int, deviation: int) -> None:
    """The mean becomes 40 at least, the deviation 30, if there is room; by eight times at most."""
    noise = np.random.default_rng(0).normal(mean, deviation, (96, 160, 3))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    before = image.copy()
    tensor = Letterbox(96, 192).fill(image)[0]
    assert not tensor[:, :16].any() and not tensor[:, -16:].any(), 'around it is black'
    assert (image == before).all(), 'the image stays as it is'
    middle, spread = image.mean(), image.std()
    room = min((255 - middle) / max(image.max() - middle, 1), middle / max(middle - image.min(), 1))
    contrast = min(30 / max(spread, 1), room)
    gain = min(8.0, max(1.0, 40 / max(middle, 1), contrast if spread < 30 else 1.0))
    wanted = max(middle, min(40.0, gain * middle))
    expected = np.clip(gain * (image.astype(float) - middle) + wanted, 0, 255)[..., ::-1]
    # Mean and deviation are those of some thousand pixels.
    assert abs(tensor[:, 16:-16] - expected).mean() < 1 + 0.03 * expected.std()
    if middle > 45 and spread > 35:
        assert (tensor[:, 16:-16] == image[..., ::-1]).all(), 'clear enough'


def test_letterbox_takes_haze_from_a_picture() -> None:
    """A quarter of the contrast is left: most of it comes back, and nothing is lost."""
    scene = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8), (96, 96))
    hazy = scene // 4 + np.uint8(130)
    shown = Letterbox(96, 96).fill(hazy)[0]
    assert shown.std() > 2 * hazy.std()
    assert len(np.unique(shown)) == len(np.unique(hazy)), 'no two shades have become one'


def test_letterbox_leaves_a_small_person_before_a_plain_wall() -> None:
    """Little contrast in all, and yet more would make all of them black."""
    image = np.full((192, 192, 3), 200, np.uint8)
    image[90:110, 90:96] = np.random.default_rng(0).integers(10, 120, (20, 6, 3))
    shown = Letterbox(192, 192).fill(image)[0]
    assert image.std() < 15
    assert abs(shown - image[..., ::-1]).max() < 15


def test_letterbox_clears_up_what_it_shows() -> None:
    """Somebody in a dark corner of a bright picture; colours keep their ratio."""
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    image[:100, :100] = np.array((6, 3, 9)) * np.random.default_rng(0).integers(1, 4, (100, 100, 1))
    letterbox = Letterbox(200, 200)
    assert (letterbox.fill(image)[0] == image[..., ::-1]).all(), 'the whole is bright'
    corner = Region(0, 0, 100, 100)
    for tensor in (letterbox.fill(image, within=corner)[0, :100, :100],
                   Letterbox(100, 100).fill(image, corner)[0]):
        assert tensor.mean() == pytest.approx(40, abs=2)
        dark = image[:100, :100, ::-1]
        assert abs(tensor - dark * tensor.mean() / dark.mean()).max() < 1


@given(height=st.integers(1, 400), width=st.integers(1, 400), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_brightness_is_the_mean_of_an_image_as_near_as_some_pixels_tell(
    height: int, width: int, seed: int,
) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), np.uint8)
    pixels = (height // max(height // 32, 1)) * (width // max(width // 32, 1))
    assert abs(brightness(image) - image.mean()) < 5 * 74 / np.sqrt(3 * pixels)
    assert brightness(np.full_like(image, seed)) == seed


def test_letterbox_shows_the_last_pixel_of_many() -> None:
    """Of 1000 columns in 8: rounded, it would lie beyond the tensor."""
    letterbox = Letterbox(8, 8)
    tensor = letterbox.fill(np.full((1000, 1000, 3), 7, np.uint8),
                            within=Region(999, 999, 1000, 1000))
    assert np.argwhere(tensor[0, ..., 0]).tolist() == [[7, 7]]
    np.testing.assert_allclose(letterbox.to_source(np.ones(2)), (1000, 1000))


@pytest.mark.parametrize('region', [
    None, Region(100, 50, 200, 150), Region(-80, -60, 120, 140), Region(200, 100, 420, 320),
])
def test_letterbox_finds_a_spot_where_it_is(region: Region | None) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    spots = [(60, 40), (130, 90), (180, 120), (240, 160)]
    letterbox = Letterbox(192, 192)
    for x, y in spots:
        inside = region is None or (
            region.x_min + 15 < x < region.x_max - 15 and region.y_min + 15 < y < region.y_max - 15)
        image[:] = 0
        cv2.circle(image, (x, y), 5, (255, 255, 255), -1)
        tensor = letterbox.fill(image, region)
        if inside:
            rows, columns = np.nonzero(tensor[0, ..., 0])
            weights = tensor[0, rows, columns, 0]
            centre = np.array([np.average(columns + 0.5, weights=weights) / 192,
                               np.average(rows + 0.5, weights=weights) / 192])
            np.testing.assert_allclose(
                letterbox.to_source(centre), (x + 0.5, y + 0.5), atol=0.6)


# ---- several people

def test_both_people_of_the_clip_are_found(
    clip: list[np.ndarray], multipose: PoseEstimator,
) -> None:
    assert multipose.layout == 'coco17'
    for number in (0, 10, 20, 30, 50, 60, 70, 80):
        persons = multipose.estimate(clip[number])
        assert len(persons) == (1 if number < 40 else 2), number
        assert [p.score for p in persons] == sorted((p.score for p in persons), reverse=True)
        for person in persons:
            _check(person, clip[number])
        man = min(persons, key=lambda person: person.box[0])
        assert man.box[0] < 240 and man.box[3] < 260, number  # on the wall, to the left


def test_the_best_comes_first_in_whatever_order_the_network_answers(
    clip: list[np.ndarray], monkeypatch: pytest.MonkeyPatch,
) -> None:
    estimator = create_estimator(MODELS[0])
    expected, real = estimator.estimate(clip[60]), vars(estimator)['_network']._interpreter
    assert len(expected) == 2
    monkeypatch.setattr(vars(estimator)['_network'], '_interpreter', SimpleNamespace(
        set_tensor=real.set_tensor, invoke=real.invoke,
        get_tensor=lambda index: real.get_tensor(index)[:, ::-1]))
    for person, other in zip(expected, estimator.estimate(clip[60]), strict=True):
        np.testing.assert_array_equal(person.keypoints, other.keypoints)


def test_walking_woman_stands_upright(clip: list[np.ndarray], multipose: PoseEstimator) -> None:
    places = []
    for number in range(50, 90, 10):
        woman = max(multipose.estimate(clip[number]), key=lambda person: person.box[0])
        heights = woman.keypoints[:, 1]
        hips = heights[[COCO['l_hip'], COCO['r_hip']]].mean()
        assert heights[COCO['nose']] < heights[[COCO['l_shoulder'], COCO['r_shoulder']]].mean()
        assert heights[[COCO['l_shoulder'], COCO['r_shoulder']]].mean() < hips
        assert hips < heights[[COCO['l_knee'], COCO['r_knee']]].mean()
        assert heights[[COCO['l_ankle'], COCO['r_ankle']]].min() > hips
        places.append(woman.box[[0, 2]].mean())
    assert np.all(np.diff(places) < -10)  # she walks to the left


def test_keypoints_follow_the_image(clip: list[np.ndarray], multipose: PoseEstimator) -> None:
    """The same scene, larger and on another place, gives the same keypoints there."""
    image = clip[20]
    before, = multipose.estimate(image)
    larger = np.zeros((960 + 200, 1280 + 400, 3), np.uint8)
    larger[100:1060, 300:1580] = cv2.resize(image, (1280, 960), interpolation=cv2.INTER_LINEAR)
    after, = multipose.estimate(larger)
    seen = (before.keypoints[:, 2] > 0.4) & (after.keypoints[:, 2] > 0.4)
    assert seen.sum() >= 8
    expected = before.keypoints[seen, :2] * 2 + (300, 100)
    distance = np.linalg.norm(after.keypoints[seen, :2] - expected, axis=1)
    assert np.median(distance) < 25  # the man is 450 pixels tall there


def test_threshold_drops_weak_people(clip: list[np.ndarray]) -> None:
    scores = [p.score for p in create_estimator(MODELS[0], score_threshold=0.2).estimate(clip[60])]
    assert len(scores) == 2
    between = sum(scores) / 2
    kept = create_estimator(MODELS[0], score_threshold=between).estimate(clip[60])
    assert [p.score for p in kept] == [scores[0]]
    assert len(create_estimator(MODELS[0], score_threshold=0.0).estimate(clip[60])) == 6


@pytest.mark.parametrize('model', MODELS)
def test_threads_do_not_change_the_answer(model: str, clip: list[np.ndarray]) -> None:
    estimators = [create_estimator(model, threads) for threads in (1, 2)]
    for image in clip[:3]:
        (one,), (two,) = (estimator.estimate(image) for estimator in estimators)
        np.testing.assert_allclose(one.keypoints, two.keypoints, atol=0.5)


# ---- one person

def test_crop_follows_the_person(clip: list[np.ndarray], lightning: PoseEstimator) -> None:
    """With the crop of the previous image the pose is surer than in the whole image."""
    lightning.reset()
    followed: list[float] = []
    for image in clip[:40]:
        person, = lightning.estimate(image)
        _check(person, image)
        followed.append(person.score)
    forgetful = create_estimator('movenet_lightning', score_threshold=0.0)
    whole: list[float] = []
    for image in clip[:40:5]:
        forgetful.reset()
        whole.append(forgetful.estimate(image)[0].score)
    # The man takes a tenth of the width. The scores are the decoder's and the runtime's, too.
    assert min(followed[1:]) > max(whole)
    assert np.median(followed) > np.median(whole) + 0.2


def test_single_and_multi_pose_agree(
    clip: list[np.ndarray], lightning: PoseEstimator, multipose: PoseEstimator,
) -> None:
    lightning.reset()
    for image in clip[:20]:
        single, = lightning.estimate(image)
    multi, = multipose.estimate(clip[19])
    assert single.score == pytest.approx(float(single.keypoints[:, 2].mean()), abs=1e-6)
    distance = np.linalg.norm(single.keypoints[:, :2] - multi.keypoints[:, :2], axis=1)
    assert np.median(distance) < 15  # the man is 220 pixels tall


def test_other_image_size_starts_anew(clip: list[np.ndarray]) -> None:
    lightning = create_estimator('movenet_lightning', score_threshold=0.0)
    for image in clip[:5]:
        lightning.estimate(image)
    half = cv2.resize(clip[5], (320, 240))
    followed = lightning.estimate(half)
    lightning.reset()
    np.testing.assert_array_equal(followed[0].keypoints, lightning.estimate(half)[0].keypoints)


def test_nobody_gives_nobody(lightning: PoseEstimator, multipose: PoseEstimator) -> None:
    grey = np.full((480, 640, 3), 127, np.uint8)
    assert multipose.estimate(grey) == []
    lightning.reset()
    assert lightning.estimate(grey) == []


def test_a_box_is_around_what_is_seen_and_the_score_is_of_the_best_eight_joints() -> None:
    image, keypoints = np.zeros((90, 120, 3), np.uint8), np.full((17, 3), 0.1, np.float32)
    keypoints[:, :2] = np.arange(17)[:, None] * 10 + (-20, 5)
    keypoints[:8, 2], keypoints[8, 2] = 0.9, 0.5
    person = person_of(keypoints, image)
    np.testing.assert_array_equal(person.box, (0, 5, 60, 85))  # what is outside is cut off
    assert person.score == pytest.approx(0.9)
    keypoints[:, 2] = 0.1
    keypoints[3, 2] = 0.2  # none is seen: the best of them
    np.testing.assert_array_equal(person_of(keypoints, image).box, (10, 35, 10, 35))


def _standing(x: float = 320, y: float = 240, torso: float = 60) -> np.ndarray:
    """Return a person facing the camera, hips at x, y."""
    keypoints = np.full((17, 3), (x, y, 0.9), np.float32)
    keypoints[:5, 1] -= 1.5 * torso
    keypoints[[COCO['l_shoulder'], COCO['r_shoulder']], 1] -= torso
    keypoints[[COCO['l_knee'], COCO['r_knee']], 1] += torso
    keypoints[[COCO['l_ankle'], COCO['r_ankle']], 1] += 2 * torso
    return keypoints


def test_next_crop_is_a_square_around_the_hips_with_room_to_move() -> None:
    region = crop_region(_standing(), 640, 480)
    assert region is not None
    assert (region.x_min + region.x_max) / 2 == pytest.approx(320, abs=1)
    assert (region.y_min + region.y_max) / 2 == pytest.approx(240, abs=1)
    assert region.x_max - region.x_min == region.y_max - region.y_min
    assert region.y_max - region.y_min == pytest.approx(2 * 1.2 * 120, abs=2)  # by the ankles
    hidden = _standing()
    hidden[13:, 2] = 0.1  # knees and ankles out of sight: the torso decides
    region = crop_region(hidden, 640, 480)
    assert region is not None
    assert region.y_max - region.y_min == pytest.approx(2 * 1.9 * 60, abs=2)


@pytest.mark.parametrize('joints', [('l_shoulder', 'r_shoulder'), ('l_hip', 'r_hip')])
def test_without_a_torso_the_whole_image_is_searched(joints: tuple[str, str]) -> None:
    keypoints = _standing()
    keypoints[[COCO[joint] for joint in joints], 2] = 0.1
    assert crop_region(keypoints, 640, 480) is None
    for side in joints:  # one is enough
        one = keypoints.copy()
        one[COCO[side], 2] = 0.9
        assert crop_region(one, 640, 480) is not None


@given(x=st.floats(-100, 800), y=st.floats(-100, 600), torso=st.floats(0, 400))
def test_next_crop_always_shows_the_image(x: float, y: float, torso: float) -> None:
    region = crop_region(_standing(x, y, torso), 640, 480)
    if region is not None:
        assert -1 < x < 641 and -1 < y < 481, 'the hips are in it'
        assert max(region.x_max - region.x_min, region.y_max - region.y_min) <= 642
        tensor = Letterbox(192, 192).fill(np.full((480, 640, 3), 99, np.uint8), region)
        assert (tensor == 99).any()


# ---- images and models that do not fit

@pytest.mark.parametrize('shape', [
    (1, 1), (1, 999), (999, 1), (37, 53), (480, 641), (1081, 1917), (2, 5000),
])
def test_odd_sizes_are_fine(
    shape: tuple[int, int], lightning: PoseEstimator, multipose: PoseEstimator,
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for estimator in (lightning, multipose):
        for person in estimator.estimate(image):
            _check(person, image)


def test_views_and_locked_images_are_fine(
    clip: list[np.ndarray], multipose: PoseEstimator,
) -> None:
    """Messages give read-only memory, cuts and mirrored views are not contiguous."""
    image = clip[20]
    view = np.pad(image, [(3, 3), (5, 5), (0, 0)])[3:-3, 5:-5]
    mirrored = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    locked = image.copy()
    locked.flags.writeable = False
    expected, = multipose.estimate(image)
    for same in (view, mirrored, locked):
        person, = multipose.estimate(same)
        np.testing.assert_array_equal(person.keypoints, expected.keypoints)


@pytest.mark.parametrize(('image', 'message'), [
    (np.zeros((480, 640), np.uint8), 'convert grey'),
    (np.zeros((480, 640, 1), np.uint8), 'convert grey'),
    (np.zeros((480, 640, 4), np.uint8), 'convert grey'),
    (np.zeros((480, 640, 3), np.float32), 'uint8 values, not float32'),
    (np.zeros((480, 640, 3), np.uint16), 'uint8 values, not uint16'),
    (np.zeros((0, 640, 3), np.uint8), 'must have pixels'),
    (np.zeros((480, 0, 3), np.uint8), 'must have pixels'),
])
@pytest.mark.parametrize('model', MODELS)
def test_what_is_no_colour_image_is_refused(
    model: str, image: np.ndarray, message: str, lightning: PoseEstimator,
    multipose: PoseEstimator,
) -> None:
    estimator = lightning if model == lightning.name else multipose
    with pytest.raises(ValueError, match=message):
        estimator.estimate(image)
    with pytest.raises(TypeError, match='NoneType'):
        estimator.estimate(None)  # type: ignore[arg-type]


def test_kind_shows_in_the_tensors_not_in_the_name(tmp_path: Path) -> None:
    disguised = tmp_path / 'movenet_multipose_192x256.tflite'
    disguised.write_bytes(find_model('movenet_lightning').read_bytes())
    estimator = create_estimator(disguised)
    assert isinstance(estimator, SinglePose)
    assert estimator.name == 'movenet_multipose_192x256'


def test_mode_that_is_no_more_is_served_by_another_with_a_warning() -> None:
    with pytest.warns(UserWarning, match='mode accurate is no more: balanced takes its place'):
        assert create_estimator('accurate').name == 'balanced'
    assert checksum('accurate') == checksum('balanced')


def test_other_networks_are_refused(tiny_bundle: Path) -> None:
    with pytest.raises(ModelError, match='is no MoveNet'):
        create_estimator(tiny_bundle.with_suffix('.tflite'))


@pytest.mark.parametrize('threshold', [-0.1, 1.5, float('nan')])
def test_threshold_must_be_a_score(threshold: float) -> None:
    with pytest.raises(ValueError, match=r'score_threshold must lie in \[0, 1\]'):
        create_estimator(score_threshold=threshold)


@pytest.mark.parametrize(('model', 'lost'), [
    ('movenet_multipose_192x256', 1), ('movenet_lightning', 0), ('balanced', 1)])
def test_what_is_no_number_is_not_seen_and_counted(
    clip: list[np.ndarray], model: str, lost: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a damaged or badly converted network answers; the tracker would lose everybody."""
    estimator = create_estimator(model)
    before = estimator.estimate(clip[0])
    part = vars(estimator).get('_find', estimator)
    network = vars(part)['_network']
    run = network.run

    def run_badly(*arguments: Any) -> np.ndarray:
        answer = run(*arguments)
        answer.reshape(-1, answer.shape[-1])[0, 0] = np.nan  # the best person, or a joint
        return answer

    monkeypatch.setattr(network, 'run', run_badly)
    found = estimator.estimate(clip[0])
    assert len(found) == len(before) - lost
    assert all(np.isfinite(person.keypoints).all() for person in found)
    assert estimator.drops == {'no numbers in an answer of the pose network': 1}


@pytest.mark.parametrize('model', MODELS)
def test_a_network_that_does_not_run_is_named(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a `PoseEstimator` promises: nodes and evaluation leave the image out and go on."""
    def fail() -> None:
        raise RuntimeError('gather index out of bounds')

    estimator = create_estimator(model)
    monkeypatch.setattr(vars(estimator)['_network'], '_interpreter', SimpleNamespace(
        set_tensor=lambda *_: None, invoke=fail))
    with pytest.raises(ModelError, match=f'{model} does not run: gather index'):
        estimator.estimate(np.zeros((48, 64, 3), np.uint8))


def test_another_camera_shares_the_network_and_no_memory(clip: list[np.ndarray]) -> None:
    """What one camera has seen does not change what is found in the images of the other."""
    alone, front = (create_estimator('movenet_lightning', score_threshold=0.0) for _ in range(2))
    rear = copy(front)
    assert vars(rear)['_network'] is vars(front)['_network']
    for image in clip[:10]:
        expected, [found] = alone.estimate(image), front.estimate(image)
        np.testing.assert_array_equal(found.keypoints, expected[0].keypoints)
        rear.estimate(np.ascontiguousarray(image[::-1, ::-1]))
