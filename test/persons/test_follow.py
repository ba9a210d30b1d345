"""Find and follow: everybody in turn, one pose a person, whatever comes before the camera."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic import SECOND, person, pose

from act_ros.core.person import Person
from act_ros.core.resources import find_resource
from act_ros.persons import clothes
from act_ros.persons.finder import PersonFinder
from act_ros.persons.follow import FindAndFollow, Follower, Schedule, hold, region_around
from act_ros.persons.letterbox import Letterbox, Region
from act_ros.persons.models import MODES, create_estimator
from act_ros.persons.tracker import PoseTracker

SIZE = (480, 640, 3)


class Stage:
    """People who stand where a test puts them; counts what is asked about them."""

    def __init__(self, *people: Person) -> None:
        self.people = list(people)
        self.finds = self.looks = 0
        self.blind = False

    def propose(self, image: np.ndarray, region: Region | None = None) -> list[Person]:
        self.finds += 1
        return [] if self.blind else self.people[:6]

    def look(
        self, image: np.ndarray, region: Region, within: Region | None = None,
    ) -> Person | None:
        self.looks += 1
        middle = np.array([region.x_min + region.x_max, region.y_min + region.y_max]) / 2
        for someone in [] if self.blind else self.people:
            away = np.abs((someone.box[:2] + someone.box[2:]) / 2 - middle).max()
            if away < (region.x_max - region.x_min) / 4:
                return someone
        return None


class StagedNetworks(FindAndFollow):
    """Two networks that see a stage."""

    def __init__(self, stage: Stage, schedule: Schedule) -> None:
        self.schedule, self.least_height, self.drops = schedule, 0.2, Counter()
        self.propose, self.look = stage.propose, stage.look  # type: ignore[method-assign, assignment]


def grid(count: int) -> list[Person]:
    """Return people who stand in rows, 17 to a row."""
    return [person(pose(0.0, x=20.0 + 36 * (i % 17), y=40.0 + 100 * (i // 17), torso=12.0))
            for i in range(count)]


def play(follower: Follower, frames: range, rate: float = 30.0) -> list[list[str]]:
    """Return the ids of each frame."""
    image = np.zeros(SIZE, np.uint8)
    return [[p.id for p in follower.update(SECOND + round(i * SECOND / rate), image)]
            for i in frames]


@pytest.mark.parametrize('count', [1, 3, 6, 50])
def test_a_frame_never_costs_more_than_the_schedule_says(count: int) -> None:
    schedule = MODES['balanced'].schedule
    stage = Stage(*grid(count))
    follower = Follower(StagedNetworks(stage, schedule), PoseTracker())
    for i in range(60):
        finds, looks = stage.finds, stage.looks
        stage.blind = 20 <= i < 30
        play(follower, range(i, i + 1))
        is_find = stage.finds - finds
        assert is_find <= 1
        assert stage.looks - looks <= (schedule.looks_with_find if is_find else schedule.looks)


@pytest.mark.parametrize(('rate', 'every'), [(30.0, 3), (10.0, 3), (7.0, 2), (1.5, 2)])
def test_where_images_are_few_the_next_search_does_not_wait_for_long(
    rate: float, every: int,
) -> None:
    stage = Stage(*grid(1))
    follower = Follower(StagedNetworks(stage, MODES['balanced'].schedule), PoseTracker())
    finds = []
    for i in range(24):
        play(follower, range(i, i + 1), rate)
        finds.append(stage.finds)
    assert np.diff(finds).max() == 1
    assert (np.diff(np.flatnonzero(np.diff(finds))) == every).all()


@pytest.mark.parametrize('images', [9, 10, 11])
def test_where_time_jumps_back_everybody_is_searched_for_at_once(images: int) -> None:
    """A bag that begins again: whichever image of a round it was, and with new ids."""
    stage = Stage(*grid(1))
    networks = StagedNetworks(stage, MODES['balanced'].schedule)
    networks.score_threshold, networks.layout = 0.2, 'coco17'
    finder, image = PersonFinder(networks), np.zeros(SIZE, np.uint8)
    for i in range(images):
        finder.update(100 * SECOND + i * SECOND // 30, image)
    finds, answers = stage.finds, [
        finder.update(SECOND + i * SECOND // 30, image) for i in range(3)]
    assert answers[:2] == [None, None] and answers[2] is not None
    assert stage.finds == finds + 1
    found = [finder.update(SECOND + i * SECOND // 30, image) for i in range(3, 12)][-1]
    assert found is not None and [p.id for p in found] == ['p2']


@pytest.mark.parametrize(('rate', 'looks'), [
    (30.0, {1, 3}), (15.0, {1, 3}), (7.5, {2, 6}), (5.0, {3, 9}), (1.5, {3, 9})])
def test_where_images_are_few_each_has_room_for_more_looks(rate: float, looks: set[int]) -> None:
    """At 5 images a second twenty people are looked at as often as at 15; one gap is no reason."""
    stage = Stage(*grid(20))
    stage.propose = lambda image, region=None: grid(20)  # type: ignore[method-assign]
    follower = Follower(StagedNetworks(stage, MODES['balanced'].schedule), PoseTracker())
    taken = set()
    for i in range(40):
        before = stage.looks
        play(follower, range(i, i + 1), rate)
        if i > 6:
            taken.add(stage.looks - before)
    assert taken == looks
    before = stage.looks
    play(follower, range(42, 43), rate)  # two images were lost
    assert stage.looks - before <= max(looks)


def test_everybody_comes_in_turn_and_keeps_the_id() -> None:
    stage = Stage(*grid(6))
    follower = Follower(StagedNetworks(stage, Schedule(3, 3, 1)), PoseTracker())
    seen = Counter(name for names in play(follower, range(90))[15:] for name in names)
    assert set(seen) == {f'p{i}' for i in range(1, 7)}
    assert max(seen.values()) - min(seen.values()) <= 3, 'who waited longest is next'


@pytest.mark.parametrize('rate', [5.0, 30.0])
def test_not_looked_at_is_not_unseen(rate: float) -> None:
    """Twenty wait longer for their turn than somebody may be unseen; nobody loses the id."""
    stage = Stage()
    follower = Follower(StagedNetworks(stage, Schedule(3, 3, 1)), PoseTracker())
    everybody, names = grid(20), Counter[str]()
    for i in range(200):
        # The network for all people tells six at a time.
        begin = 6 * (i // 12) % len(everybody)
        stage.people = everybody[begin:] + everybody[:begin]
        for frame in play(follower, range(i, i + 1), rate):
            names.update(frame)
    assert len(names) == 20


def test_nobody_is_lost_where_a_look_fails_now_and_then() -> None:
    stage = Stage(*grid(2))
    follower = Follower(StagedNetworks(stage, Schedule(3, 3, 1)), PoseTracker())
    names: set[str] = set()
    for i in range(120):
        stage.blind = i > 10 and i % 5 == 0
        names.update(play(follower, range(i, i + 1))[0])
    assert names == {'p1', 'p2'}


def test_a_pose_that_nobody_is_sure_of_is_not_told() -> None:
    """Who is hidden for a moment keeps the id; what is seen meanwhile may be a lamp post."""
    someone, = grid(1)
    stage = Stage(someone)
    follower = Follower(StagedNetworks(stage, Schedule(3, 3, 1)), PoseTracker())
    play(follower, range(30))
    stage.people = [replace(someone, score=0.25)]
    assert not any(play(follower, range(30, 90)))
    stage.people = [someone]
    assert all(names == ['p1'] for names in play(follower, range(90, 99)))


def test_a_look_that_is_not_sure_and_sees_little_does_not_lead_astray() -> None:
    """Two joints are no body: the track stays as large as it was."""
    someone, = grid(1)
    keypoints = someone.keypoints.copy()
    keypoints[:, 2] = 0.1
    keypoints[5:7, 2] = 0.9
    glimpse = replace(person(keypoints[5:7]), keypoints=keypoints, score=0.25)
    stage = Stage(someone)
    networks = StagedNetworks(stage, Schedule(3, 3, 1))
    tracker = PoseTracker()
    follower = Follower(networks, tracker)
    play(follower, range(30))
    networks.look = lambda *_: glimpse  # type: ignore[method-assign]
    play(follower, range(30, 36))
    track, = tracker.tracks
    assert np.array_equal(track.person.box, someone.box)
    networks.look = stage.look  # type: ignore[method-assign, assignment]
    assert play(follower, range(36, 39))[-1] == ['p1']


@pytest.mark.parametrize(('torso', 'score', 'images'), [
    (60.0, 0.7, 1), (60.0, 0.5, 2), (12.0, 0.7, 2)])
def test_somebody_tall_who_is_surely_seen_is_known_at_once(
    torso: float, score: float, images: int,
) -> None:
    stage = Stage(person(pose(0.0, torso=torso), score=score))
    follower = Follower(StagedNetworks(stage, MODES['balanced'].schedule), PoseTracker())
    assert play(follower, range(images)) == [[]] * (images - 1) + [['p1']]


def test_places_without_anybody_cost_less_and_less() -> None:
    """A chair that is proposed again and again is looked at ever more seldom."""
    chair = Stage(*grid(1))
    chair.look = lambda *_: None  # type: ignore[method-assign]
    looks = Counter[int]()
    networks = StagedNetworks(chair, Schedule(3, 3, 1))
    networks.look = lambda *_: looks.update([0])  # type: ignore[method-assign]
    assert not any(play(Follower(networks, PoseTracker()), range(300)))
    assert 3 <= looks[0] <= 20


@pytest.mark.parametrize(('torso', 'score', 'is_known'), [
    (12.0, 0.42, False), (12.0, 0.5, True), (60.0, 0.42, True)])
def test_of_somebody_small_a_look_must_be_surer(
    torso: float, score: float, is_known: bool,
) -> None:
    """A bush of 40 pixels looks like a person, now and then."""
    someone = person(pose(0.0, torso=torso), score=score)
    stage = Stage(someone)
    networks = StagedNetworks(stage, MODES['balanced'].schedule)
    networks.propose = lambda image, region=None: [  # type: ignore[method-assign, assignment]
        replace(someone, score=0.09)]
    heard = play(Follower(networks, PoseTracker()), range(30))
    assert any(heard) is is_known


def test_a_square_stays_until_somebody_leaves_its_middle() -> None:
    box = np.array([100.0, 100.0, 160.0, 260.0])
    region = region_around(box)
    assert hold(region, box + np.array([10, 5, 10, 5])) is region
    moved = hold(region, box + np.array([60, 0, 60, 0]))
    assert moved == region_around(box + np.array([60, 0, 60, 0]))
    assert hold(region, np.array([100.0, 100.0, 220.0, 420.0])) != region


def clip(count: int) -> list[np.ndarray]:
    """Return the first images of the demo clip."""
    video = cv2.VideoCapture(str(find_resource('media/demo.mp4')))
    images = [video.read()[1] for _ in range(count)]
    video.release()
    return images


def names_of(finder: PersonFinder, images: list[np.ndarray], begin: float = 1.0) -> list[set[str]]:
    """Return the ids of each image at 30 fps."""
    names = []
    for i, image in enumerate(images):
        persons = finder.update(round((begin + i / 30) * SECOND), image)
        assert persons is not None
        names.append({p.id for p in persons})
    return names


def test_the_same_images_give_the_same_answer() -> None:
    """A bag is answered as the live nodes answer."""
    images = clip(40)
    first, second = PersonFinder(create_estimator()), PersonFinder(create_estimator())
    for i, image in enumerate(images):
        a, b = (finder.update((i + 1) * SECOND // 30, image) for finder in (first, second))
        assert a is not None and b is not None
        assert [p.id for p in a] == [p.id for p in b]
        for p, q in zip(a, b, strict=True):
            np.testing.assert_array_equal(p.keypoints, q.keypoints)


def test_a_camera_that_shakes_and_loses_frames() -> None:
    random = np.random.default_rng(0)
    shaken = [np.roll(image, random.integers(-12, 13, 2), (0, 1)) for image in clip(60)]
    finder, names = PersonFinder(create_estimator()), []
    for i, image in enumerate(shaken):
        if random.random() < 0.3:
            continue
        persons = finder.update((i + 30) * SECOND // 30, image)
        names += [p.id for p in persons or []]
    assert Counter(names).most_common(1)[0][0] == 'p1'
    assert names.count('p1') > 25


def test_somebody_half_out_of_the_picture() -> None:
    """Cut at the waist by the edge, and still the same person."""
    finder = PersonFinder(create_estimator())
    images = clip(50)
    names = names_of(finder, images[:25])
    assert names[-1] == {'p1'}
    box = finder.update(2 * SECOND, images[25])
    assert box
    waist = round(float(box[0].box[1:4:2].mean()))
    cut = PersonFinder(create_estimator())
    halves = names_of(cut, [np.ascontiguousarray(image[:waist]) for image in images])
    assert sum(bool(half) for half in halves) > 30
    assert set().union(*halves) == {'p1'}


def test_an_empty_room_and_a_moving_curtain() -> None:
    """Stripes that swing, and a room that does not move: nobody."""
    finder = PersonFinder(create_estimator())
    room = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 25)
    room = ((room - room.min()) * (255.0 / np.ptp(room))).astype(np.uint8)
    x, y = np.meshgrid(np.arange(640), np.arange(480))
    for i in range(90):
        image = room.copy()
        wave = 127 + 90 * np.sin((x + 14 * np.sin(y / 60 + i / 6)) / 9)
        image[80:, 200:360] = wave[80:, 200:360, None].astype(np.uint8)
        assert finder.update((i + 1) * SECOND // 15, image) == []


@pytest.mark.parametrize(('region', 'within'), [
    (Region(640, 90, 740, 190), None), (Region(-100, 90, 0, 190), None),
    (Region(600, 90, 700, 190), Region(640, 90, 700, 190)),
    (Region(100, 90, 200, 190), Region(150, 90, 150, 190))])
def test_where_nothing_of_the_image_is_shown_is_nobody(
    region: Region, within: Region | None,
) -> None:
    """Who walks out of the picture, or has nothing left to a neighbour, crashes nothing."""
    finder = create_estimator()
    assert isinstance(finder, FindAndFollow)
    assert finder.look(np.zeros(SIZE, np.uint8), region, within) is None
    with pytest.raises(ValueError, match='shows nothing of the image'):
        Letterbox(64, 64).fill(np.zeros(SIZE, np.uint8), region, within)


def test_fifty_people() -> None:
    """The networks propose six at a time; all get a turn, none an id of somebody else."""
    everybody, stage = grid(50), Stage()
    follower = Follower(StagedNetworks(stage, Schedule(3, 3, 1)), PoseTracker())
    where: dict[str, set[float]] = {}
    for i in range(250):
        begin = 6 * (i // 9) % len(everybody)
        stage.people = everybody[begin:] + everybody[:begin]
        for found in follower.update(SECOND + i * SECOND // 30, np.zeros(SIZE, np.uint8)):
            where.setdefault(found.id, set()).add(float(found.box[0] + 1000 * found.box[1]))
    assert len(where) == 50
    assert all(len(places) == 1 for places in where.values())


def test_other_clothes_are_another_person() -> None:
    """A man in red walks where somebody in blue was lost: a new id."""
    tracker = PoseTracker()
    red, blue = (np.full(SIZE, 90, np.uint8) for _ in range(2))
    body = person(pose(0.0, x=320.0, y=150.0))
    red[:, :] = (40, 40, 220)
    blue[:, :] = (220, 60, 30)
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [body], [clothes.look(blue, body)])
    assert [t.id for t in tracker.tracks] == ['p1']
    other = person(pose(0.4, x=350.0, y=150.0))
    for i in range(10, 24):
        there = [other] if i >= 20 else []
        tracker.assign(SECOND + i * SECOND // 30, there, [clothes.look(red, p) for p in there])
    assert [p.id for p in tracker.seen(SECOND + 23 * SECOND // 30)] == ['p2']


def wear(share: float) -> np.ndarray:
    """Return clothes that are ``sqrt(share)`` like those of another share of 1."""
    look = np.zeros(40, np.float32)
    look[[0, 8, 24]], look[[1, 9, 25]] = np.sqrt(share), np.sqrt(1 - share)
    return look


def test_who_steps_out_from_behind_somebody_does_not_take_over_the_id() -> None:
    """Near enough to be the same, and a little differently dressed: somebody else."""
    front, behind = (person(pose(0.0, x=x, y=150.0)) for x in (320.0, 360.0))
    for share, expected in ((1.0, ['p1']), (0.6, [])):
        tracker = PoseTracker()
        for i in range(10):
            tracker.assign(SECOND + i * SECOND // 30, [front], [wear(1.0)])
        tracker.assign(SECOND + 10 * SECOND // 30, [behind], [wear(share)])
        assert [p.id for p in tracker.seen(SECOND + 10 * SECOND // 30)] == expected
        if not expected:
            for i in range(11, 14):
                tracker.assign(SECOND + i * SECOND // 30, [front, behind], [wear(1.0), wear(0.6)])
            seen = tracker.seen(SECOND + 13 * SECOND // 30)
            assert [(p.id, p.keypoints is front.keypoints) for p in seen] == [
                ('p1', True), ('p2', False)]


@pytest.mark.parametrize(('is_expected', 'unseen', 'is_known'), [
    (True, [5, 11, 12], True), (False, [5, 11, 12], False), (False, [5, 11], True)])
def test_a_pose_without_a_torso_takes_over_no_id(
    is_expected: bool, unseen: list[int], is_known: bool,
) -> None:
    """Unless it was looked for; in profile one shoulder and one hip are enough."""
    body = person(pose(0.0, x=320.0, y=150.0))
    keypoints = body.keypoints.copy()
    keypoints[unseen, 2] = 0.1
    tracker = PoseTracker()
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [body])
    stamp = SECOND + 10 * SECOND // 30
    tracker.assign(stamp, [person(keypoints)],
                   expected=[tracker.tracks[0] if is_expected else None])
    assert [p.id for p in tracker.seen(stamp)] == (['p1'] if is_known else [])


@pytest.mark.parametrize(('is_expected', 'step', 'torso', 'is_known'), [
    (True, 60.0, 100.0, True), (False, 60.0, 100.0, False), (True, 130.0, 100.0, True),
    (True, 150.0, 100.0, False), (True, 200.0, 100.0, False), (True, 30.0, 250.0, False),
    (True, 140.0, 140.0, True)])
def test_somebody_new_may_move_far_between_two_looks(
    is_expected: bool, step: float, torso: float, is_known: bool,
) -> None:
    """
    Few images a second: who is near where somebody was looked for is they, until an id is.

    That is half of their height away, where they are the larger, and never at twice the height.
    """
    tracker = PoseTracker()
    for i in range(3):
        body = person(pose(0.0, x=350.0 + step * i, y=150.0, torso=torso if i else 100.0))
        newcomer = tracker.tracks[0] if is_expected and i else None
        tracker.assign(SECOND + i * SECOND // 7, [body], expected=[newcomer])
    assert bool(tracker.seen(SECOND + 2 * SECOND // 7)) is is_known


@pytest.mark.parametrize(('share', 'after', 'name'), [
    (1.0, 0.07, 'p1'), (0.7, 0.07, ''), (1.0, 0.5, '')])
def test_who_jumps_is_known_by_the_clothes(share: float, after: float, name: str) -> None:
    """In another pose some way off: the same person if so dressed and seen a moment ago."""
    tracker = PoseTracker()
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [person(pose(0.0, x=320.0))], [wear(1.0)])
    jumper, track = person(pose(0.0, 'wave', x=420.0, y=190.0)), tracker.tracks[0]
    stamp = SECOND + 9 * SECOND // 30 + round(after * SECOND)
    tracker.assign(stamp, [jumper], [wear(share)], {track}, expected=[track])
    assert [p.id for p in tracker.seen(stamp)] == [name] * bool(name)


def test_who_stretches_out_an_arm_goes_nowhere() -> None:
    """A velocity of the box would carry the person away by half of the arm."""
    tracker, standing = PoseTracker(), pose(0.0)
    reaching = standing.copy()
    reaching[[8, 10], 0] -= (60.0, 120.0)  # right elbow and wrist
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [person(standing)])
    tracker.assign(SECOND + 10 * SECOND // 30, [person(reaching)])
    track, = tracker.tracks
    of_box = (person(reaching).box - person(standing).box)[::2].mean()
    assert abs(track.moved[0]) < abs(of_box) / 4
    assert abs(track.velocity[0]) < 30 * abs(of_box) / 4 * 0.2


def test_who_stands_where_somebody_in_other_clothes_stood_is_another_person() -> None:
    """Much like the pose that was expected, and nothing of the clothes."""
    tracker = PoseTracker()
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [person(pose(0.0, x=320.0))], [wear(1.0)])
    stamp = SECOND + 10 * SECOND // 30
    track, = tracker.tracks
    tracker.assign(stamp, [person(pose(0.0, x=332.0))], [wear(0.1)])
    assert not tracker.seen(stamp)
    assert tracker.tracks == [track], 'at first it may be a ghost of who was just seen there'


def test_who_is_seen_where_looked_for_is_not_taken_for_a_neighbour() -> None:
    """The neighbour's clothes are not seen, and the pose is more like the one that was expected."""
    tracker = PoseTracker()
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [person(pose(0.0, x=320.0))], [wear(1.0)])
    track, = tracker.tracks
    own, neighbour = person(pose(0.0, x=345.0)), person(pose(0.0, x=325.0))
    stamp = SECOND + 10 * SECOND // 30
    owners = tracker.assign(stamp, [neighbour, own], [None, wear(0.95)], {track},
                            expected=[None, track])
    assert owners[1] is track and owners[0] is not track


@pytest.mark.parametrize(('worn', 'own', 'owner'), [
    (1.0, None, 0), (1.0, 0.0, None), (None, None, 0)],
    ids=['not where looked for', 'somebody else there', 'never dressed'])
def test_whose_clothes_are_not_seen_continues_whoever_is_seen_nowhere_else(
    worn: float | None, own: float | None, owner: int | None,
) -> None:
    tracker, here = PoseTracker(), person(pose(0.0, x=322.0))
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [person(pose(0.0, x=320.0))],
                       [None if worn is None else wear(worn)])
    track, = tracker.tracks
    aimed = [] if own is None and worn is not None else [person(pose(0.0, x=345.0))]
    owners = tracker.assign(
        SECOND + 10 * SECOND // 30, [here, *aimed], [None, None if own is None else wear(own)]
        [:1 + len(aimed)], {track}, expected=[None, track][:1 + len(aimed)])
    assert [i for i, found in enumerate(owners) if found is track] == (
        [] if owner is None else [owner])


def test_clothes_that_are_seen_only_later_are_learned_then() -> None:
    tracker, body = PoseTracker(), person(pose(0.0, x=320.0))
    for i in range(6):
        tracker.assign(SECOND + i * SECOND // 30, [body], [wear(1.0) if i > 3 else None])
    track, = tracker.tracks
    assert track.id == 'p1' and track.wore(wear(1.0), track.stamp)


def two_people() -> tuple[PoseTracker, int]:
    """Return a tracker that has seen two people ten times, and the next stamp."""
    tracker = PoseTracker()
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30,
                       [person(pose(0.0, x=x)) for x in (320.0, 460.0)])
    return tracker, SECOND + 10 * SECOND // 30


def test_two_looks_that_each_see_the_other_change_no_id() -> None:
    tracker, stamp = two_people()
    first, second = tracker.tracks
    here, there = (person(pose(0.0, x=x)) for x in (320.0, 460.0))
    owners = tracker.assign(
        stamp, [there, here], sought={first, second}, expected=[first, second])
    assert owners == [second, first]


def test_a_look_at_somebody_new_that_sees_who_is_known_makes_no_second_id() -> None:
    """Though the turn of the one who is known comes later."""
    tracker, stamp = two_people()
    first, _ = tracker.tracks
    tracker.assign(stamp, [person(pose(0.0, x=375.0))], sought=set(), expected=[None], hits=[2])
    newcomer = tracker.tracks[-1]
    owners = tracker.assign(stamp + SECOND // 30, [person(pose(0.0, x=325.0))],
                            sought={newcomer}, expected=[newcomer])
    assert owners == [first]


@pytest.mark.parametrize('is_missed', [False, True])
def test_a_look_at_somebody_else_moves_nobody_whose_turn_it_was_not(is_missed: bool) -> None:
    """Nor is it somebody new; where the own look has failed, it leads back."""
    tracker, stamp = two_people()
    first, second = tracker.tracks
    if is_missed:
        tracker.assign(stamp, [], sought={first}, expected=[])
    found = person(pose(0.2, 'wave', x=355.0))  # too far off to be a double
    owners = tracker.assign(stamp + SECOND // 30, [found], sought={second}, expected=[second])
    assert owners == [first if is_missed else None]
    assert tracker.tracks == [first, second] and second.is_missed
    assert (first.person is found) is is_missed


def test_a_pose_of_somebody_whose_turn_it_was_not_makes_no_second_id() -> None:
    """Looked for as p2, seen where p1 is: nor does it continue somebody new who is missed."""
    tracker, stamp = two_people()
    first, second = tracker.tracks
    somebody = person(pose(0.0, x=375.0))
    tracker.assign(stamp, [somebody], sought=set(), expected=[None], hits=[2])
    newcomer = tracker.tracks[-1]
    assert not newcomer.id
    found = person(pose(0.1, x=350.0))
    owners = tracker.assign(stamp + SECOND // 30, [found], sought={second, newcomer},
                            expected=[second])
    assert owners == [None] and tracker.tracks == [first, second]


def test_who_waits_for_a_look_longer_than_one_may_be_unseen_keeps_the_id() -> None:
    """Also who was missed before, and seen again since; not so where the images paused."""
    tracker, stamp = two_people()
    first, second = tracker.tracks
    here, there = (person(pose(0.0, x=x)) for x in (320.0, 460.0))
    tracker.assign(stamp, [there], sought={first, second}, expected=[second])
    tracker.assign(stamp + SECOND // 30, [here], sought={first}, expected=[first])
    for i in range(2, 62):
        tracker.assign(stamp + i * SECOND // 30, [there], sought={second}, expected=[second])
    assert tracker.tracks == [first, second]
    tracker.assign(stamp + 62 * SECOND // 30, [here], sought={first}, expected=[first])
    assert [p.id for p in tracker.seen(stamp + 62 * SECOND // 30)] == ['p1']
    tracker.assign(stamp + 4 * SECOND, [], sought=set(), expected=[])
    assert not tracker.tracks


def test_who_is_surely_seen_is_known_first_and_all_come_in_the_order_of_ids() -> None:
    tracker = PoseTracker()
    unsure, sure = (person(pose(0.0, x=x)) for x in (150.0, 450.0))
    for i in range(3):
        tracker.assign(SECOND + i * SECOND // 30, [unsure, sure], hits=[1, 3])
    seen = tracker.seen(SECOND + 2 * SECOND // 30)
    assert [(p.id, p.keypoints is sure.keypoints) for p in seen] == [('p1', True), ('p2', False)]


@pytest.mark.parametrize(('away', 'is_dress'), [(0.1, False), (0.5, True)])
def test_who_was_long_out_of_sight_is_known_by_the_clothes(away: float, is_dress: bool) -> None:
    """One stands where somebody stood, one beside in the same clothes; light changes in between."""
    tracker = PoseTracker()
    body, beside = (person(pose(0.0, x=x)) for x in (320.0, 340.0))
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [body], [wear(1.0)])
    track, = tracker.tracks
    stamp = SECOND + 9 * SECOND // 30 + round(away * SECOND)
    tracker.assign(stamp - SECOND // 30, [])
    owners = tracker.assign(stamp, [body, beside], [wear(0.45), wear(1.0)])
    assert owners.index(track) == is_dress


@pytest.mark.parametrize('others', [0, 1, 2])
def test_clothes_are_learned_in_changing_light_and_not_from_a_neighbour(others: int) -> None:
    """Nor does it matter who else is far away."""
    tracker, body, neighbour = PoseTracker(), person(pose(0.0, x=320.0)), person(pose(0.0, x=365.0))
    far = [person(pose(0.0, x=800.0 + 300 * i)) for i in range(others)]
    for i in range(60):
        share = 1 - 0.005 * i
        tracker.assign(i * SECOND // 30, [*far, body], [*[wear(0.5)] * others, wear(share)])
    track = tracker.tracks[-1]
    assert track.person is body
    assert track.wore(wear(share), 2 * SECOND) and not track.wore(wear(1.0), 2 * SECOND)
    for i in range(60, 120):
        tracker.assign(i * SECOND // 30, [*far, body, neighbour],
                       [*[wear(0.5)] * others, wear(0.2), wear(0.1)])
    assert track.stamp == 119 * SECOND // 30
    assert track.wore(wear(share), 4 * SECOND) and not track.wore(wear(0.2), 4 * SECOND)


@pytest.mark.parametrize(('share', 'stays'), [(0.1, 'p2'), (1.0, 'p1'), (None, 'p1')])
def test_of_two_in_one_pose_stays_who_wears_such_clothes(share: float | None, stays: str) -> None:
    """One left behind the other's back: who is still there is told by the clothes."""
    tracker = PoseTracker()
    left, right = (person(pose(0.0, x=x)) for x in (250.0, 360.0))
    worn = [None, None] if share is None else [wear(1.0), wear(0.1)]
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [left, right], worn)
    seen = None if share is None else wear(share)
    for i in range(10, 60):
        step = min(5.0 * (i - 9), 55.0)
        a, b = (person(pose(0.0, x=x)) for x in (250 + step, 360 - step))
        together = step == 55.0
        tracker.assign(SECOND + i * SECOND // 30, [a, b], [seen, seen] if together else worn)
    assert [t.id for t in tracker.tracks] == [stays]


@pytest.mark.parametrize(('beside_wears', 'seen', 'stays'), [(0.94, 0.95, 'p1'), (0.1, 0.1, 'p2')])
def test_who_came_first_stays_if_the_clothes_are_theirs(
    beside_wears: float, seen: float, stays: str,
) -> None:
    """Two tracks on one person: of course the second fits, it knows nothing but that person."""
    tracker = PoseTracker()
    body, beside = person(pose(0.0, x=320.0)), person(pose(0.0, x=350.0))
    for i in range(10):
        tracker.assign(SECOND + i * SECOND // 30, [body], [wear(1.0)])
    for i in range(10, 20):
        tracker.assign(SECOND + i * SECOND // 30, [body, beside], [wear(1.0), wear(beside_wears)])
    assert [(t.id, t.was_alone) for t in tracker.tracks] == [('p1', True), ('p2', False)]
    for i in range(20, 40):
        tracker.assign(SECOND + i * SECOND // 30, [body, body], [wear(seen), wear(seen)])
    assert [t.id for t in tracker.tracks] == [stays]


def test_clothes_are_alike_in_another_light_and_not_seen_without_a_torso() -> None:
    body, image = person(pose(0.0, x=320.0, y=150.0)), np.full(SIZE, 90, np.uint8)
    image[:, :] = (200, 80, 40)
    brighter = cv2.convertScaleAbs(image, alpha=1.15)
    seen, again = clothes.look(image, body), clothes.look(brighter, body)
    assert seen is not None and again is not None
    assert clothes.likeness(seen, seen) == pytest.approx(1.0, abs=1e-5)
    assert clothes.likeness(seen, again) > 0.5
    keypoints = body.keypoints.copy()
    keypoints[11, 2] = 0.1
    assert clothes.look(image, person(keypoints)) is None


def test_who_was_missed_once_gets_another_look_where_others_fill_the_schedule() -> None:
    """Three others take every look there is; the fourth is not forgotten for one failed look."""
    stage = Stage(*grid(4))
    follower = Follower(StagedNetworks(stage, Schedule(3, 3, 0)), PoseTracker())
    seen = Counter(name for names in play(follower, range(30)) for name in names)
    assert len(seen) == 4
    everybody, stage.people = stage.people, stage.people[1:]
    play(follower, range(30, 33))
    stage.people = everybody
    again = Counter(name for names in play(follower, range(33, 90)) for name in names)
    assert set(again) == set(seen)
