"""Where two networks look: at people and not at their neighbours, and ever less where nobody is."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SECOND, person, pose

from act_ros.core.person import Person
from act_ros.persons.follow import FindAndFollow, Follower, Schedule, hold, region_around
from act_ros.persons.letterbox import Region
from act_ros.persons.tracker import PoseTracker

HEIGHT, WIDTH = 480, 640
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def middle_of(box: Any) -> np.ndarray:
    return np.add(box[:2], box[2:]) / 2


class Scene(FindAndFollow):
    """Two networks that see people where a test puts them, and note where they were asked."""

    def __init__(self, *people: Person, schedule: Schedule | None = None) -> None:
        self.schedule, self.least_height = schedule or Schedule(3, 3, 1), 0.2
        self.people = self.proposals = list(people)
        self.searched: list[Region | None] = []
        self.looked: list[tuple[Region, Region]] = []

    def put(self, *people: Person) -> None:
        """Let these be who is there and who is proposed."""
        self.people = self.proposals = list(people)

    def propose(self, image_bgr: np.ndarray, region: Region | None = None) -> list[Person]:
        self.searched.append(region)
        return self.proposals

    def look(
        self, image_bgr: np.ndarray, region: Region, within: Region | None = None,
    ) -> Person | None:
        assert within
        self.looked.append((region, within))

        def away(someone: Person) -> float:
            return float(np.abs(middle_of(someone.box) - middle_of(region)).max())

        nearest = min(self.people, key=away, default=None)
        is_inside = nearest and away(nearest) < (region.x_max - region.x_min) / 4
        return nearest if is_inside else None


class Play:
    """A follower that sees a scene at 30 images a second."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.image = scene, 0
        self.follower = Follower(scene, PoseTracker())

    def on(self, images: int = 1) -> list[list[str]]:
        """Return the ids of some images more."""
        answers = []
        for _ in range(images):
            self.image += 1
            stamp = SECOND + self.image * SECOND // 30
            answers.append([p.id for p in self.follower.update(stamp, IMAGE)])
        return answers


def somebody(x: float, y: float = 150.0, torso: float = 60.0, score: float = 0.9) -> Person:
    return person(pose(0.0, x=x, y=y, torso=torso), score=score)


def proposed(boxes: list[tuple[float, ...]], region: Region | None) -> list[tuple[float, ...]]:
    """Return which of the boxes that a network finds in a region are proposed."""
    found = [Person(pose(0.0), 0.9, np.array(box, np.float32)) for box in boxes]
    find: Any = SimpleNamespace(estimate=lambda *_: found)
    look: Any = SimpleNamespace(layout='coco17', drops=Counter())
    networks = FindAndFollow('two', find, look, 0.2, Schedule(3, 3, 1), 0.2)
    assert networks.drops is find.drops is look.drops
    return [tuple(p.box.tolist()) for p in networks.propose(IMAGE, region)]


@pytest.mark.parametrize(('box', 'is_proposed'), [
    ((300, 200, 340, 280), True),
    ((256, 200, 296, 280), False), ((257, 200, 296, 280), False), ((259, 200, 296, 280), True),
    ((300, 192, 340, 280), False), ((300, 195, 340, 280), True),
    ((300, 200, 500, 280), False), ((300, 200, 499, 280), False), ((300, 200, 498, 280), True),
    ((300, 200, 340, 400), False), ((300, 200, 340, 398), True)])
def test_whom_the_edge_of_a_search_cuts_is_left_to_another(
    box: tuple[float, ...], is_proposed: bool,
) -> None:
    assert bool(proposed([box], Region(256, 192, 500, 400))) is is_proposed


@pytest.mark.parametrize(('region', 'box'), [
    (None, (0, 0, 640, 480)), (Region(0, 0, 384, 288), (0, 0, 100, 200)),
    (Region(256, 192, 640, 480), (600, 250, 640, 480))])
def test_whom_the_edge_of_the_image_cuts_is_proposed(
    region: Region | None, box: tuple[float, ...],
) -> None:
    assert proposed([box], region) == [box]


def test_everybody_is_proposed_once_and_nobody_without_a_size() -> None:
    first, double, beside = (10, 10, 50, 90), (14, 10, 54, 90), (40, 10, 80, 90)
    assert proposed([first, double, beside, (200, 10, 201, 90), (300, 10, 340, 11)], None) == [
        first, beside]


@pytest.mark.parametrize(('torsos', 'is_nearer'), [
    ((12,), True), ((60,), True), ((100,), False), ((12, 100), False), ((), False)])
def test_where_all_are_small_every_other_search_goes_nearer(
    torsos: tuple[float, ...], is_nearer: bool,
) -> None:
    """Into one quarter after the other, until all of the image was seen so."""
    play = Play(Scene(*(somebody(100 + 300 * i, torso=t) for i, t in enumerate(torsos))))
    play.on(27)
    whole, nearer = play.scene.searched[::2], play.scene.searched[1:9:2]
    assert set(whole) == {None} and (set(nearer) != {None}) is is_nearer
    covered = np.zeros((HEIGHT, WIDTH), bool)
    for region in nearer if is_nearer else []:
        assert region and region.x_max - region.x_min == 384 and region.y_max - region.y_min == 288
        assert 0 <= region.x_min and 0 <= region.y_min
        covered[region.y_min:region.y_max, region.x_min:region.x_max] = True
    assert covered.all() == is_nearer


def test_the_square_follows_between_the_searches() -> None:
    """As large as suits the person, wherever somebody walks; smaller for who goes away."""
    play = Play(Scene(somebody(100), schedule=Schedule(30, 1, 1)))
    play.on(3)
    square = play.scene.looked[0][0]
    for i in range(60):
        play.scene.put(somebody(100 + 6 * i))
        assert play.on() == [['p1']]
        region = play.scene.looked[-1][0]
        assert np.abs(middle_of(region) - middle_of(play.scene.people[0].box)).max() < 30
        assert region.x_max - region.x_min < 1.3 * (square.x_max - square.x_min)
    for i in range(150):
        play.scene.put(somebody(454, torso=60 - 0.25 * i))
        assert play.on() == [['p1']]
    region = play.scene.looked[-1][0]
    assert region.x_max - region.x_min < 0.8 * (square.x_max - square.x_min)


def test_who_is_hidden_for_a_moment_is_sought_where_a_search_finds_them() -> None:
    """Walking on behind a pillar, out of the square in which they were last seen."""
    play = Play(Scene(somebody(100)))
    for i in range(20):
        play.scene.put(somebody(100 + 8 * i))
        play.on()
    play.scene.put()
    play.on(8)
    seen = []
    for i in range(28, 40):
        play.scene.put(somebody(100 + 8 * i))
        seen += play.on()
    assert seen[-6:] == [['p1']] * 6


def test_a_surer_proposal_counts_though_the_first_was_weak() -> None:
    """Somebody far off whom a look is not sure to see."""
    far = somebody(100, torso=12, score=0.35)
    play = Play(Scene(far))
    play.scene.proposals = [somebody(100, torso=12, score=0.09)]
    assert not any(play.on(30))
    play.scene.proposals = [somebody(100, torso=12, score=0.3)]
    assert any(play.on(60))


@pytest.mark.parametrize('was_somebody', [True, False])
def test_where_nobody_is_any_longer_nobody_looks(was_somebody: bool) -> None:
    """Chairs that were carried away, people who left: they cost no look after a few seconds."""
    play = Play(Scene(*(somebody(x) for x in (80, 250, 420))))
    if not was_somebody:
        play.scene.people = []
    play.on(30)
    assert len(play.scene.looked) > 10 if was_somebody else len(play.scene.looked) <= 3 * 5
    play.scene.put()
    play.on(50 if was_somebody else 15)
    play.scene.looked.clear()
    play.on(200)
    assert not play.scene.looked


def test_known_people_come_before_places_where_nobody_was_seen() -> None:
    """One look an image, and five chairs that are proposed all the time."""
    someone, *chairs = (somebody(40 + 110 * i, torso=30) for i in range(6))
    play = Play(Scene(someone, schedule=Schedule(3, 1, 1)))
    play.scene.proposals = [someone, *chairs]
    play.on(15)
    assert play.on(60) == [['p1']] * 60


def test_a_square_that_shows_somebody_known_makes_no_second_person() -> None:
    """Half of somebody is proposed again and again: a look there sees who is known already."""
    someone = somebody(300)
    half = somebody(300, 190, torso=35)
    play = Play(Scene(someone))
    play.scene.proposals = [someone, half]
    names = [name for names in play.on(60) for name in names]
    assert set(names) == {'p1'} and len(names) > 50
    assert len(play.scene.looked) < 90


def shown_of(play: Play, someone: Person) -> Region:
    """Return what was shown last of the square around somebody, where two are looked at in turn."""
    return min(play.scene.looked[-2:], key=lambda pair: float(
        np.abs(middle_of(pair[0]) - middle_of(someone.box)).max()))[1]


@pytest.mark.parametrize('is_proposed', [True, False])
@pytest.mark.parametrize('speed', [0.0, 4.0])
def test_the_square_ends_where_the_neighbour_begins(speed: float, is_proposed: bool) -> None:
    """Also of two who walk side by side, and are not proposed for a while."""
    play = Play(Scene(somebody(150), somebody(210), schedule=Schedule(3, 2, 2)))
    play.on(9)
    for i in range(60):
        left, right = (somebody(x + speed * i) for x in (150, 210))
        play.scene.put(left, right)
        if not is_proposed:
            play.scene.proposals = []
        play.on()
    assert left.box[2] - 3 <= shown_of(play, left).x_max <= right.box[0] + 3
    assert left.box[2] - 3 <= shown_of(play, right).x_min <= right.box[0] + 3
    for someone in (left, right):
        within = shown_of(play, someone)
        assert within.x_min - 3 <= someone.box[0] < someone.box[2] <= within.x_max + 3
        assert within.y_min < someone.box[1] < someone.box[3] < within.y_max


@pytest.mark.parametrize(('step', 'share'), [(36, 0.07), (26, 0.19), (17, 0.25), (15, 0.0)])
def test_of_who_is_half_hidden_at_most_a_quarter_is_given_up(step: float, share: float) -> None:
    """And nothing where one hides the other, for nobody knows whose it is."""
    first, second = somebody(200), somebody(200 + step, torso=59)
    play = Play(Scene(first, second, schedule=Schedule(3, 2, 2)))
    play.on(12)
    width = first.box[2] - first.box[0]
    for lost in (first.box[2] - shown_of(play, first).x_max,
                 shown_of(play, second).x_min - second.box[0]):
        assert float(lost) / width == pytest.approx(share, abs=0.03) if share else lost < 0


def test_who_is_half_seen_does_not_give_up_what_the_proposal_shows() -> None:
    """Else what is shown would shrink with what is seen, and what is seen with what is shown."""
    left, right = somebody(150), somebody(210)
    narrow = Person(left.keypoints, 0.9, left.box - np.array((0, 0, 21, 0), np.float32))
    play = Play(Scene(narrow, right, schedule=Schedule(3, 2, 2)))
    play.scene.proposals = [left, right]
    play.on(30)
    assert shown_of(play, left).x_max >= left.box[2]


@pytest.mark.parametrize(('y', 'is_there'), [(350, True), (150, False)])
def test_who_is_below_or_not_there_is_no_neighbour(y: float, is_there: bool) -> None:
    first, other = somebody(150, torso=50), somebody(195, y, torso=50)
    play = Play(Scene(first, schedule=Schedule(3, 2, 2)))
    play.scene.proposals = [first, other]
    if is_there:
        play.scene.people = [first, other]
    play.on(12)
    region, within = min(play.scene.looked[-2:], key=lambda pair: pair[0].y_min)
    assert within == region


def test_after_a_reset_everybody_is_somebody_new() -> None:
    play = Play(Scene(somebody(300)))
    assert play.on(6)[-1] == ['p1']
    play.follower.reset()
    assert play.on(6)[-1] == ['p2']


@pytest.mark.parametrize('images', [4, 5, 6])
def test_after_a_long_pause_the_next_image_is_searched(images: int) -> None:
    """Nobody may still be where they were, whichever image of a round it is."""
    play = Play(Scene(somebody(300)))
    play.on(images)
    play.image += 60
    before, looked = len(play.scene.searched), len(play.scene.looked)
    play.scene.put(somebody(100))
    play.on()
    assert len(play.scene.searched) == before + 1
    assert all(abs(middle_of(region)[0] - 100) < 5 for region, _ in play.scene.looked[looked:])


def test_a_search_for_who_was_lost_comes_earlier_and_never_in_every_image() -> None:
    play = Play(Scene(somebody(300)))
    play.on(12)
    play.scene.put()
    searches = []
    for _ in range(24):
        play.on()
        searches.append(len(play.scene.searched))
    assert set(np.diff(searches[2:]).tolist()) == {0, 1}
    assert searches[-1] - searches[3] == 10  # every second image, where it was every third


def test_who_left_takes_no_look_from_who_stays() -> None:
    """Missed three times in a row, they are looked for once a search."""
    stays, leaves = somebody(100), somebody(400)
    play = Play(Scene(stays, leaves, schedule=Schedule(4, 1, 1)))
    play.on(24)
    play.scene.put(stays)
    play.on(8)
    assert sum(map(bool, play.on(18))) >= 11


def test_a_place_without_anybody_is_left_alone_twice_as_long_each_time() -> None:
    play, images = Play(Scene(somebody(300))), []
    play.scene.people = []
    for i in range(240):
        before = len(play.scene.looked)
        play.on()
        images += [i] * (len(play.scene.looked) - before)
    assert np.diff(images).tolist() == [3, 6, 12, 24, 48, 48, 48, 48]


def test_the_square_has_room_for_what_the_pose_does_not_show() -> None:
    """Head and legs: the proposal shows them, the pose does not."""
    whole = somebody(300)
    half = person(whole.keypoints[5:11])
    play = Play(Scene(Person(whole.keypoints, 0.9, half.box)))
    play.scene.proposals = [whole]
    play.on(30)
    region = play.scene.looked[-1][0]
    assert (np.array(region[:2]) < whole.box[:2]).all()
    assert (np.array(region[2:]) > whole.box[2:]).all()


@given(x=st.floats(-1000, 1000), y=st.floats(-1000, 1000), width=st.floats(0, 800),
       height=st.floats(0, 800))
def test_a_square_has_room_for_arms_and_legs(
    x: float, y: float, width: float, height: float,
) -> None:
    box = np.array([x, y, x + width, y + height])
    region = np.array(region_around(box), float)
    size, longer = region[2:] - region[:2], max(width, height)
    wanted = np.maximum((1.25 * width, 1.25 * height), max(0.7 * 1.25 * longer, 8.0))
    assert (size >= wanted - 1e-6).all() and (size <= wanted + 2).all()
    assert np.abs(middle_of(region) - middle_of(box)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(('change', 'is_held'), [
    ((0, 0, 0, 0), True), ((-20, 0, 20, 0), True), ((0, 30, 0, -30), True),
    ((0, -40, 0, 40), False), ((-70, 0, 70, 0), False), ((0, 60, 0, -60), False),
    ((-30, 40, 30, -40), False),
    ((25, 0, 25, 0), True), ((0, -25, 0, -25), True), ((35, 0, 35, 0), False),
    ((0, -35, 0, -35), False)])
def test_a_square_suits_somebody_who_changes_little(
    change: tuple[float, ...], is_held: bool,
) -> None:
    """Somewhat to the side, larger or smaller; not who stretches out an arm or sits down."""
    box = np.array([100.0, 100.0, 180.0, 300.0])
    region = region_around(box)
    held = hold(region, box + change)
    assert held == (region if is_held else region_around(box + change))
    assert (held == region) is is_held
