"""Ids stay with the person: through crossings, occlusion and misses, at any frame rate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SECOND, person, pose

from act_ros.core.person import Person
from act_ros.persons.tracker import PoseTracker, TrackerOptions, is_as_big, overlap

# Where somebody is at a time in seconds: the neck's x and y, and the torso's length, in pixels.
Path = Callable[[float], tuple[float, float, float]]
WALK = 240.0  # pixels a second: 1.2 m/s for a torso of half a metre
RATES = [5.0, 15.0, 30.0, 60.0]


def follow(
    paths: list[Path], rate: float, seconds: float, tracker: PoseTracker | None = None,
    is_seen: Callable[[int, float], bool] = lambda who, time: True, seed: int = 0,
    begin: float = 0.0,
) -> list[list[str]]:
    """
    Track people whose rows come in random order, with 2 px of noise.

    Return for each person the ids of the frames in which they were seen ('' without one).
    """
    rng = np.random.default_rng(seed)
    tracker = tracker or PoseTracker()
    ids: list[list[str]] = [[] for _ in paths]
    for time in begin + np.arange(round(seconds * rate) + 1) / rate:
        people: dict[int, Person] = {}
        for who in rng.permutation(len(paths)).tolist():
            if is_seen(who, time):
                x, y, torso = paths[who](time)
                keypoints = pose(time + 0.3 * who, x=x, y=y, torso=torso)
                keypoints[:, :2] += rng.normal(0.0, 2.0, (17, 2))
                people[who] = person(keypoints, score=rng.uniform(0.5, 0.9))
        tracked = tracker.update(round(time * SECOND) + SECOND, list(people.values()))
        names = {id(p.keypoints): p.id for p in tracked}
        assert len(set(names.values())) == len(tracked)
        for who, found in people.items():
            ids[who].append(names.get(id(found.keypoints), ''))
    return ids


def standing_at(x: float, y: float = 200.0) -> Path:
    """Return the path of somebody who stays."""
    return lambda time: (x, y, 100.0)


def walking(x: float, speed: float, y: float = 200.0, torso: float = 100.0) -> Path:
    """Return the path of somebody crossing the image."""
    return lambda time: (x + speed * time, y, torso)


def assert_one_id_each(ids: list[list[str]], unnamed: int = 2) -> None:
    """Check that all got an id of their own after ``unnamed`` frames and kept it."""
    for names in ids:
        assert names[:unnamed] == [''] * unnamed
        assert names[unnamed:] == [names[-1]] * (len(names) - unnamed)
    assert '' not in {names[-1] for names in ids}
    assert len({names[-1] for names in ids}) == len(ids)


@pytest.mark.parametrize('rate', RATES)
@pytest.mark.parametrize('speeds', [(WALK, -WALK), (WALK, 0.0), (1.5 * WALK, 0.5 * WALK)])
@pytest.mark.parametrize('seed', range(3))
def test_two_people_cross(rate: float, speeds: tuple[float, float], seed: int) -> None:
    meet = 2.0 + 0.07 * seed  # not always on a frame
    paths = [walking(640 - speeds[0] * meet, speeds[0]),  # the other is a step further away
             walking(640 - speeds[1] * meet, speeds[1], 180.0, 80.0)]
    assert_one_id_each(follow(paths, rate, 4.0, seed=seed))


@pytest.mark.parametrize('speed', [0.0, -WALK])
def test_twins_may_be_taken_for_each_other_only_where_they_coincide(speed: float) -> None:
    for seed in range(20):
        meet = 2.0 + 0.07 * seed
        paths = [walking(640 - WALK * meet, WALK), walking(640 - speed * meet, speed, 210.0)]
        for names in follow(paths, 5.0, 4.0, seed=seed):
            apart = [name for i, name in enumerate(names) if i >= 2 and abs(i / 5 - meet) > 0.2]
            assert len(set(apart)) == 1


@pytest.mark.parametrize('rate', RATES)
@pytest.mark.parametrize('speed', [0.0, WALK])
def test_half_a_second_of_occlusion(rate: float, speed: float) -> None:
    ids = follow([walking(100, speed), standing_at(700, 500)], rate, 4.0,
                 is_seen=lambda who, time: who == 1 or not 1.5 < time < 2.0)
    assert_one_id_each(ids)


@pytest.mark.parametrize('way', [(WALK, 0.0), (-WALK, 0.0), (0.0, WALK)])
def test_who_is_hidden_and_goes_on_as_before_is_expected_where_they_then_are(
    way: tuple[float, float],
) -> None:
    tracker, body = PoseTracker(TrackerOptions(min_similarity=0.8)), pose(0.0, x=600, y=600)
    for frame in [*range(60), 75]:
        moved = np.array((*way, 0.0), np.float32) * np.float32(frame / 30)
        tracked = tracker.update(frame * SECOND // 30, [person(body + moved)])
    assert [p.id for p in tracked] == ['p1']


@pytest.mark.parametrize('rate', RATES)
def test_one_person_hides_the_other_while_they_cross(rate: float) -> None:
    ids = follow([walking(160, WALK, 180.0, 80.0), walking(1120, -WALK)], rate, 4.0,
                 is_seen=lambda who, time: who == 1 or not 1.8 < time < 2.2)
    assert_one_id_each(ids)


@pytest.mark.parametrize('rate', RATES)
@pytest.mark.parametrize('seed', range(3))
def test_every_fourth_detection_missed(rate: float, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    ids = follow([standing_at(200), walking(400, WALK / 2, 500.0)], rate, 6.0, seed=seed,
                 is_seen=lambda who, time: time < 0.5 or rng.random() > 0.25)
    assert_one_id_each(ids)


@pytest.mark.parametrize('rate', [5.0, 30.0])
def test_fifty_people(rate: float) -> None:
    paths = [walking(150.0 * (i % 10), WALK / 4, 320.0 * (i // 10)) for i in range(50)]
    assert_one_id_each(follow(paths, rate, 2.0))


@pytest.mark.parametrize(('away', 'same'), [(0.9, True), (1.3, False)])
@pytest.mark.parametrize('empty_frames', [True, False])
def test_who_stays_away_too_long_comes_back_as_somebody_new(
    away: float, same: bool, empty_frames: bool,
) -> None:
    tracker = PoseTracker(TrackerOptions(max_age=1.0))
    before = follow([standing_at(300)], 30.0, 1.0, tracker)[0]
    if empty_frames:
        follow([standing_at(300)], 30.0, away - 0.1, tracker, lambda who, time: False, begin=1.05)
    after = follow([standing_at(300)], 30.0, 1.0, tracker, begin=1.0 + away)[0]
    assert (after[-1] == before[-1]) is same
    assert after.count('') == (0 if same else 2)


def test_ids_are_never_used_again() -> None:
    tracker, ids = PoseTracker(), []
    for visit in range(12):
        if visit == 6:
            tracker.reset()
        ids.append(follow([standing_at(300)], 30.0, 0.5, tracker, begin=3.0 * visit)[0][-1])
    assert ids == [f'p{i}' for i in range(1, 13)]


def test_people_come_in_the_order_of_their_ids() -> None:
    tracker = PoseTracker(TrackerOptions(min_hits=1))
    people = [person(pose(0.0, x=150.0 * i)) for i in range(12)]
    assert [p.id for p in tracker.update(0, people)] == [f'p{i}' for i in range(1, 13)]
    again = tracker.update(SECOND // 30, people[::-1])
    assert [p.id for p in again] == [f'p{i}' for i in range(1, 13)]
    assert [p.keypoints is q.keypoints for p, q in zip(again, people, strict=True)] == [True] * 12


@pytest.mark.parametrize('frames', [1, 2])
def test_a_ghost_gets_no_id(frames: int) -> None:
    ids = follow([standing_at(300), standing_at(800)], 30.0, 2.0,
                 is_seen=lambda who, time: who == 0 or 1.0 <= time < 1.0 + (frames - 0.5) / 30)
    assert len(ids[1]) == frames
    assert set(ids[1]) == {''}
    assert_one_id_each(ids[:1])


def test_a_flickering_ghost_gets_no_id() -> None:
    ids = follow([standing_at(300)], 30.0, 2.0, is_seen=lambda who, t: round(t * 30) % 3 != 2)
    assert set(ids[0]) == {''}


@pytest.mark.parametrize('later', [0, 10])
def test_one_person_found_twice_has_one_id(later: int) -> None:
    tracker, rng, names = PoseTracker(), np.random.default_rng(0), set()
    for frame in range(40):
        keypoints = pose(frame / 30)
        double = keypoints + rng.normal(0.0, 3.0, (17, 3)).astype(np.float32) * (1, 1, 0)
        people = [person(keypoints, score=0.9)]
        if frame >= later:
            people.append(person(double.astype(np.float32), score=0.6))
        tracked = tracker.update(frame * SECOND // 30, people)
        assert len(tracked) == (frame >= 2)
        names |= {p.id for p in tracked}
    assert names == {'p1'}


@pytest.mark.parametrize('rate', [5.0, 15.0, 30.0, 60.0])
@pytest.mark.parametrize(('seconds', 'left'), [(0.4, 2), (1.0, 1)])
def test_two_in_one_pose_are_one_person_after_a_while(
        rate: float, seconds: float, left: int) -> None:
    """Not while they pass each other, whatever the rate."""
    tracker = PoseTracker()
    for frame in range(round((1 + seconds) * rate)):
        apart = max(1 - frame / rate, 0) * 150.0
        both = [person(pose(0.0, x=x)) for x in (300.0 - apart, 300.0 + apart)]
        tracked = tracker.update(round(frame / rate * SECOND), both)
    assert len(tracked) == left


def test_two_people_found_twice_at_once_keep_one_id_each() -> None:
    """Two couples whose poses come to lie on each other: of each couple one track stays."""
    tracker, names = PoseTracker(), set()
    for frame in range(80):
        apart = max(40 - frame, 0) * 5.0
        people = [person(pose(frame / 30, x=x)) for x in (300 - apart, 300, 900, 900 + apart)]
        tracked = tracker.update(frame * SECOND // 30, people)
        names |= {p.id for p in tracked}
    assert len(names) == 4
    assert sorted(round(float(p.keypoints[:, 0].mean()), -2) for p in tracked) == [300, 900]


def test_two_newcomers_who_turn_out_to_be_one_get_one_id_and_no_later() -> None:
    """A second pose beside somebody new, which then is the same: the older track stays."""
    tracker, names = PoseTracker(TrackerOptions(min_hits=8)), []
    for frame in range(12):
        apart = [] if frame < 1 else [max(75.0 - 15 * frame, 0.0)]
        tracked = tracker.update(frame * SECOND // 30, [
            person(pose(0.0, x=320.0 + x)) for x in (0.0, *apart)])
        names.append([p.id for p in tracked])
    assert names == [[]] * 7 + [['p1']] * 5
    assert len(tracker.tracks) == 1


def test_who_is_found_twice_at_first_sight_has_one_id() -> None:
    tracker, keypoints = PoseTracker(TrackerOptions(min_hits=1)), pose(0.0)
    people = [person(keypoints), person(keypoints + np.array((3, 3, 0), np.float32), score=0.6)]
    for frame in range(10):
        tracked = tracker.update(frame * SECOND // 30, people)
        assert [(p.id, p.score) for p in tracked] == [('p1', 0.9)]


@pytest.mark.parametrize('score', [0.9, 0.2])
def test_one_detection_continues_one_person(score: float) -> None:
    """The one who is known, though somebody new was seen as near; a weak one, too."""
    tracker = PoseTracker()
    for frame in range(4):
        people = [person(pose(0.0, x=x)) for x in ((320, 370) if frame == 3 else (320,))]
        tracker.update(frame * SECOND // 30, people)
    found = person(pose(0.0, x=345), score=score)
    assert [p.id for p in tracker.update(4 * SECOND // 30, [found])] == ['p1']
    assert len(tracker.tracks) == 1


@pytest.mark.parametrize('every', [1, 2])
def test_where_unseen_joints_are_guessed_does_not_matter(every: int) -> None:
    """In every frame, or in every second one."""
    tracker = PoseTracker(TrackerOptions(min_hits=1, min_similarity=0.8))
    rng, names = np.random.default_rng(0), set()
    for frame in range(30):
        keypoints = pose(0.0)
        box = person(keypoints).box
        if frame % every == 0:
            keypoints[9:] = (*rng.uniform(0, 1000, 2), 0.01)  # hands, hips and legs
        names |= {p.id for p in tracker.update(frame * SECOND // 30, [Person(keypoints, 0.9, box)])}
    assert names == {'p1'}


@pytest.mark.parametrize(('size', 'is_as'), [
    ((100, 300), True), ((280, 40), True), ((100, 580), True), ((100, 160), True),
    ((310, 620), False), ((620, 10), False), ((100, 140), False)])
@pytest.mark.parametrize('corner', [(0, 0), (500, -200)])
def test_size_is_the_longer_side_wherever_somebody_is(
        size: tuple[int, int], corner: tuple[int, int], is_as: bool) -> None:
    before = np.array((40, 60, 140, 360), np.float32)  # 300 pixels tall
    now = np.array((*corner, *np.add(corner, size)), np.float32)
    assert is_as_big(before, now) is is_as_big(now, before) is is_as


CORNERS = st.integers(-50, 50)
BOXES = st.tuples(CORNERS, CORNERS, st.integers(1, 60), st.integers(1, 60)).map(
    lambda box: np.array((box[0], box[1], box[0] + box[2], box[1] + box[3]), np.float32))


@given(a=BOXES, b=BOXES)
def test_overlap_is_the_share_of_pixels_that_both_boxes_cover(
    a: np.ndarray, b: np.ndarray,
) -> None:
    """None where they are apart, in one direction or in both."""
    masks = np.zeros((2, 170, 170), bool)
    for mask, box in zip(masks, (a, b), strict=True):
        x_min, y_min, x_max, y_max = box.astype(int) + 50
        mask[y_min:y_max, x_min:x_max] = True
    expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert overlap(a, b) == pytest.approx(expected, abs=1e-6)


def test_weak_detections_continue_a_person_but_start_none() -> None:
    tracker = PoseTracker(TrackerOptions(new_score=0.5))
    scores = [0.4] * 5 + [0.9] * 3 + [0.3] * 10
    tracked = [tracker.update(i * SECOND // 30, [person(pose(i / 30), score=score)])
               for i, score in enumerate(scores)]
    assert [[p.id for p in people] for people in tracked] == [[]] * 7 + [['p1']] * 11


def test_min_hits() -> None:
    for hits in (1, 5):
        assert_one_id_each(follow([standing_at(300)], 30.0, 1.0,
                                  PoseTracker(TrackerOptions(min_hits=hits))), hits - 1)


def test_nobody_ever() -> None:
    tracker = PoseTracker()
    assert [tracker.update(i, []) for i in range(5)] == [[]] * 5


def test_what_comes_out_is_what_went_in_with_an_id() -> None:
    tracker = PoseTracker(TrackerOptions(min_hits=1))
    seen = person(pose(0.0), score=0.7)
    [tracked] = tracker.update(0, [seen])
    assert tracked.keypoints is seen.keypoints
    assert tracked.box is seen.box
    assert (tracked.score, tracked.id, seen.id) == (0.7, 'p1', '')


def test_the_same_input_gives_the_same_ids() -> None:
    paths = [walking(160, WALK), walking(1120, -WALK), standing_at(640)]
    assert follow(paths, 15.0, 4.0) == follow(paths, 15.0, 4.0)


def test_ids_go_on_where_those_of_a_tracker_before_ended() -> None:
    """Ids are never reused, though all else begins anew."""
    numbers = count(1)
    for expected in ('p1', 'p2'):
        tracker = PoseTracker(TrackerOptions(min_hits=1), numbers)
        (somebody,) = tracker.update(SECOND, [person(pose(0, 'standing', x=100))])
        assert somebody.id == expected
