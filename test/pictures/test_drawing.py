"""Drawing: what is seen shows, in its place, and odd input does not stop the picture."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from contrast import channels, contrast
from synthetic import SECOND, person, pose

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.recognizer import ActionRecognizer
from act_ros.core.action import Action, Status
from act_ros.core.place import Place, PlaceKind
from act_ros.core.resources import find_resource
from act_ros.core.skeletons import LAYOUTS
from act_ros.pictures.captions import caption, colour_of, distance_of, is_light, label_colour
from act_ros.pictures.drawing import _Tag, _write, draw


def black(height: int = 480, width: int = 640) -> np.ndarray:
    """Return an empty image."""
    return np.zeros((height, width, 3), np.uint8)


@pytest.fixture
def action(classifier: ActClassifier) -> Action:
    """Return the action of somebody just seen."""
    answer = ActionRecognizer(classifier).update(SECOND, [person(pose(0.0), 'p1')], 'coco17')
    assert answer is not None
    return answer[0]


def test_captions(action: Action) -> None:
    walking = dataclasses.replace(
        action, status=Status.RECOGNIZED, label='walk', label_id=1, confidence=0.931)
    assert caption(walking) == 'p1 walk 93%'
    assert [caption(dataclasses.replace(walking, status=status)) for status in (
        Status.BUFFERING, Status.UNKNOWN, Status.LOST)] == ['p1 ...', 'p1 ?', 'p1 lost']


@pytest.mark.parametrize(('distance', 'error', 'text'), [
    (2.94, 0.3, '~2.9 m'), (17.13, 1.4, '~17 m'), (2.94, np.nan, '~2.9 m')])
def test_a_distance_is_no_more_precise_than_it_is_known(
    distance: float, error: float, text: str,
) -> None:
    position = (0.0, 0.0, distance)
    assert distance_of(Place(PlaceKind.ESTIMATED, position, 0.0, distance, error)) == text


def test_labels_are_written_with_contrast() -> None:
    """At least 4.5, as WCAG 2 asks for; on most colours one ink alone has that."""
    for label in ActClassifier(find_resource('models/act_mu.tflite')).labels:
        colour = label_colour(label)
        ink = channels('#000' if is_light(colour) else '#fff')
        assert contrast(ink, channels(colour)) >= 4.5, label


def test_a_long_caption_is_written_whole(action: Action) -> None:
    """Not cut off by the edge: how sure the answer is stands at its end."""
    long = [dataclasses.replace(
        action, person_id='person-' + 30 * 'x', status=Status.RECOGNIZED, label=35 * 'y',
        confidence=sure) for sure in (0.91, 0.14)]
    images = [black(), black()]
    for image, what in zip(images, long, strict=True):
        draw(image, [person(pose(0.0), what.person_id)], 'coco17', [what])
    assert (images[0] != images[1]).any()


def test_captions_find_a_place_below_where_all_above_is_taken() -> None:
    """Of somebody whose box ends just below the upper edge, where others' captions stand."""
    image = black()
    tag = _Tag('p2 walk 90%', np.array((250, -200, 370, 30)), (0, 0, 255), '#464646')
    _write(image, [tag], [np.array((0, 0, 640, 80))])
    assert not image[:80].any() and image.any()


def test_a_colour_belongs_to_an_id() -> None:
    assert colour_of('p1') == colour_of('p1') != colour_of('p2')
    assert len({colour_of(f'p{i}') for i in range(7)}) == 7
    assert all(0 <= c <= 255 for name in ('', 'anna', '17', 'p³') for c in colour_of(name))


def test_joints_and_bones_are_where_they_belong() -> None:
    image = black()
    somebody = person(pose(0.0), 'p1')
    draw(image, [somebody], 'coco17')
    for x, y in somebody.keypoints[5:, :2].astype(int):
        assert image[y, x].tolist() == [255, 255, 255]
    knee, ankle = somebody.keypoints[13, :2], somebody.keypoints[15, :2]
    x, y = ((knee + ankle) / 2).astype(int)
    assert image[y, x].tolist() == list(colour_of('p1'))
    assert not image[:, :200].any() and not image[:, 500:].any()  # a metre away from them


def test_joints_not_seen_are_left_out() -> None:
    keypoints = pose(0.0)
    keypoints[5:, 2] = 0.1
    image, other = black(), black()
    draw(image, [person(keypoints, 'p1')], 'coco17')
    assert not image[150:].any()
    draw(other, [person(keypoints, 'p1')], 'coco17', min_score=0.05)
    assert other[150:].any()


def test_somebody_seen_from_behind_has_no_face() -> None:
    somebody = person(pose(0.0), 'p1')
    somebody.keypoints[:5, 2] = 0.1
    image, bare = black(), black()
    draw(bare, [somebody], 'coco17', captions=False)
    assert not bare[:int(somebody.keypoints[5:, 1].min()) - 10].any() and bare.any()
    draw(image, [somebody], 'coco17')
    assert image[:int(somebody.box[1])].any(), 'the caption is there'


def test_keypoints_of_another_layout_are_left_out() -> None:
    image = black()
    draw(image, [person(pose(0.0)[:13], 'p1')], 'coco17')
    assert not image.any()


def test_the_caption_stands_above_the_person(action: Action) -> None:
    plain, told, stranger = black(), black(), black()
    somebody = person(pose(0.0), 'p1')
    draw(plain, [somebody], 'coco17')
    draw(told, [somebody], 'coco17', [dataclasses.replace(
        action, status=Status.RECOGNIZED, label='walk', confidence=0.9)])
    draw(stranger, [somebody], 'coco17', [
        dataclasses.replace(action, person_id='p2', status=Status.LOST)])
    silent = black()
    draw(silent, [somebody], 'coco17', captions=False)
    assert np.flatnonzero((plain != silent).any(axis=(1, 2))).max() < 120, 'the caption alone'
    rows = np.flatnonzero((plain != told).any(axis=(1, 2)))
    assert len(rows) > 0
    assert somebody.box[1] - 40 < rows.min() <= rows.max() < somebody.box[1]
    np.testing.assert_array_equal(plain, stranger)


def test_a_frame_without_a_detection_is_no_end(action: Action) -> None:
    """Who is still recognized is still shown, where they were."""
    image = black()
    walking = dataclasses.replace(action, status=Status.RECOGNIZED, label='walk', confidence=0.9)
    draw(image, [], 'coco17', [walking])
    rows, columns = (np.flatnonzero(image.any(axis=(axis, 2))) for axis in (1, 0))
    x_min, y_min, x_max, y_max = action.box.astype(int)
    assert y_max <= rows.max() < y_max + 4 and y_min - 40 < rows.min() < y_min - 10
    assert columns.min() <= x_min and columns.max() >= x_max
    assert not image[y_min + 10:y_max - 10, x_min + 10:x_max - 10].any(), 'no pose is known'


@pytest.mark.parametrize('size', [(120, 160), (240, 320), (480, 640), (1080, 1920)])
@pytest.mark.parametrize('count', [2, 3])
def test_captions_cover_neither_each_other_nor_a_head(
    action: Action, size: tuple[int, int], count: int,
) -> None:
    height, width = size
    crowd, actions = [], []
    for i in range(count):
        keypoints = pose(0.0)
        keypoints[:, :2] = (keypoints[:, :2] - (320, 240)) * height / 800 + (
            width * (0.4 + 0.2 * i / count), height / 2)
        crowd.append(person(keypoints, f'p{i + 1}'))
        actions.append(dataclasses.replace(
            action, person_id=f'p{i + 1}', status=Status.RECOGNIZED, label='walk', confidence=0.9))
    silent, spoken = black(*size), black(*size)
    draw(silent, crowd, 'coco17', actions, captions=False)
    draw(spoken, crowd, 'coco17', actions)
    for somebody in crowd:
        face = somebody.keypoints[:5, :2].astype(int)
        (x, y), (x_end, y_end) = face.min(axis=0) - 1, face.max(axis=0) + 2
        np.testing.assert_array_equal(spoken[y:y_end, x:x_end], silent[y:y_end, x:x_end])
    # As much ground in the label's colour as those that stand alone have.
    red, green, blue = bytes.fromhex(label_colour('walk')[1:])
    ground = int((spoken == (blue, green, red)).all(axis=-1).sum())
    alone = 0
    for somebody, what in zip(crowd, actions, strict=True):
        image = black(*size)
        draw(image, [somebody], 'coco17', [what])
        alone += int((image == (blue, green, red)).all(axis=-1).sum())
    assert ground == alone > 100 * count


def test_a_label_has_one_colour_everywhere() -> None:
    ours = ActClassifier(find_resource('models/act_mu.tflite')).labels
    assert len({label_colour(label) for label in ours}) == len(ours) == 21
    assert label_colour('salute') == label_colour('salute')
    assert all(re.fullmatch('#[0-9a-f]{6}', label_colour(name)) for name in ('', '走る', 'x\ud800'))


def test_what_others_call_themselves_is_printable(action: Action) -> None:
    odd = dataclasses.replace(action, person_id='p\x1b[2J' + 'x' * 10**6,
                              label='\n' * 10**6, status=Status.RECOGNIZED)
    assert caption(odd).isprintable() and len(caption(odd)) < 400
    image = black()
    draw(image, [person(pose(0.0), odd.person_id)], 'coco17', [odd])
    assert image.any()


def test_nobody_leaves_the_image_as_it_is() -> None:
    image = black() + 7
    draw(image, [], 'coco17')
    assert (image == 7).all()


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout(layout: str) -> None:
    image = black()
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(100, 400, (len(LAYOUTS[layout].joints), 3)).astype(np.float32)
    draw(image, [person(keypoints, 'p1')], layout)
    assert image.any()


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize('where', ['keypoints', 'box'])
def test_numbers_no_image_has(value: float, where: str) -> None:
    image = black()
    odd = person(pose(0.0), 'p1')
    getattr(odd, where)[:2] = value
    draw(image, [odd, person(pose(0.0, x=500), 'p2')], 'coco17')
    assert image.any()


def test_a_joint_without_a_place_is_left_out() -> None:
    """Not drawn into a corner, with bones all over the picture that lead there."""
    image, without = black(), black()
    odd, unseen = person(pose(0.0), 'p1'), person(pose(0.0), 'p1')
    odd.keypoints[9, 0] = np.nan
    unseen.keypoints[9, 2] = 0.0
    draw(image, [odd], 'coco17')
    draw(without, [unseen], 'coco17')
    assert (image == without).all()


@pytest.mark.parametrize('size', [(1, 1), (1, 300), (300, 1), (10, 10), (20, 640), (2160, 3840)])
@pytest.mark.parametrize('x', [-5000.0, 5.0, 5000.0])
def test_any_size_of_image(size: tuple[int, int], x: float) -> None:
    image = black(*size)
    draw(image, [person(pose(0.0, x=x, y=5.0), 'p1' * 20)], 'coco17')
    assert image.shape == (*size, 3)


def test_an_unknown_layout() -> None:
    with pytest.raises(ValueError, match='unknown keypoint layout'):
        draw(black(), [person(pose(0.0))], 'kinect')
