"""How a stream of frames fares, by a clock of the test's own."""

from __future__ import annotations

from collections import Counter

import pytest
from synthetic import SECOND

from act_ros.core.stamps import Order
from act_ros.ros.health import Health, HealthOptions, Level, Report


class Watch:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def health(watch: Watch) -> Health:
    """Return the health of a camera that has just been switched on."""
    made = Health('front', '/front/image', watch)
    made.restart()
    return made


def run(health: Health, watch: Watch, seconds: float, age: float = 0.05) -> None:
    """Let frames come and be answered, twenty a second."""
    for _ in range(round(seconds * 20)):
        watch.now += 1 / 20
        health.count_input()
        health.count_answer(round(age * SECOND), 2)


def told(health: Health) -> Report:
    return health.report(HealthOptions())


def test_all_is_well(health: Health, watch: Watch) -> None:
    health.facts['model'] = 'tiny'
    run(health, watch, 30.0)
    report = told(health)
    assert (report.level, report.message) == (Level.OK, '20 answers a second')
    assert report.values['input'] == '/front/image'
    assert float(report.values['input rate (Hz)']) == pytest.approx(20, abs=0.2)
    assert report.values['age of answers, mean (ms)'] == '50.0'
    assert report.values['persons'] == '2' and report.values['model'] == 'tiny'
    assert report.values['last error'] == 'none'


def test_silence_is_told_from_the_activation_on(health: Health, watch: Watch) -> None:
    watch.now += 1.9
    assert (told(health).level, told(health).message) == (Level.OK, 'no answer yet')
    watch.now += 0.2
    assert told(health).level is Level.WARN
    assert told(health).message == 'nothing on /front/image for 2.1 s'
    assert told(health).values['last input (s ago)'] == 'never'
    run(health, watch, 1.0)
    assert told(health).level is Level.OK
    watch.now += 60.0
    report = told(health)
    assert report.message == 'nothing on /front/image for 60.0 s'
    assert (report.values['input rate (Hz)'], report.values['last input (s ago)']) == (
        '0.0', '60.0')
    health.restart()
    assert told(health).level is Level.OK


def test_what_came_before_an_activation_counts_for_no_rate_after_it(
        health: Health, watch: Watch) -> None:
    run(health, watch, 20.0)
    watch.now += 1.0
    health.restart()
    run(health, watch, 2.0)
    report = told(health)
    assert report.message == '20 answers a second'
    assert report.values['input rate (Hz)'] == report.values['answer rate (Hz)'] == '20.0'


def test_input_without_answers(health: Health, watch: Watch) -> None:
    for _ in range(50):
        watch.now += 0.1
        health.count_input()
        health.record_error('image cut off')
    report = told(health)
    assert report.level is Level.WARN
    assert report.message == 'no answer for 5.0 s, though input comes: image cut off'
    assert report.values['last error'] == 'image cut off (0 s ago)'
    health.pause = 10.0
    assert told(health).message == 'image cut off', 'a limited rate is no silence'


def test_what_keeps_input_from_an_answer_is_named(health: Health, watch: Watch) -> None:
    drops = Counter({'unreadable image': 1, 'stamp 0 time and again': 30})
    health.include_drops(drops)
    for _ in range(30):
        watch.now += 0.1
        health.count_input()
    assert told(health).message == (
        'no answer for 3.0 s, though input comes: stamp 0 time and again (30)')


def test_stale_answers(health: Health, watch: Watch) -> None:
    run(health, watch, 3.0, age=1.5)
    report = told(health)
    assert report.level is Level.WARN and report.message.startswith('answers are stale: 1.5 s')
    assert health.report(HealthOptions(max_age=2.0)).level is Level.OK
    run(health, watch, 0.1, age=0.1)
    assert told(health).level is Level.OK
    run(health, watch, 0.1, age=-5.0)  # a camera whose clock is ahead, or none on /clock here
    report = told(health)
    assert report.level is Level.WARN and report.message.startswith('stamps are 5.0 s ahead')
    assert health.report(HealthOptions(max_age=6.0)).level is Level.OK


def test_a_warning_where_most_people_are_too_small(health: Health, watch: Watch) -> None:
    """One who is far among two who are near is none; two of three are."""
    for heights, level in (((0.5, 0.3, 0.1), Level.OK), ((0.5, 0.12, 0.1), Level.WARN)):
        watch.now += 60
        run(health, watch, 1.0)
        health.add_people(heights, [False, False, True], 0.2)
        report = told(health)
        assert report.level is level
        assert report.values['heights of persons (% of the image)'] == (
            f'10 to 50, median {100 * heights[1]:.0f}')
    assert report.message.startswith(
        'most people are too small: 12 % of the image high, where poses need 20 %')
    watch.now += 60
    run(health, watch, 1.0)
    assert told(health).level is Level.OK, 'whom nobody sees any more warns of nothing'


def test_a_warning_where_the_images_are_dark(health: Health, watch: Watch) -> None:
    """A lens cap or a room at night; one image of many is none."""
    run(health, watch, 1.0)
    assert 'brightness of images (0 to 255)' not in told(health).values, 'nobody looks at images'
    health.add_people([], [], 0.2)
    for values, level in (((90.0, 2.0, 60.0), Level.OK), ((2.0, 3.0, 60.0), Level.WARN)):
        watch.now += 60
        run(health, watch, 1.0)
        for value in values:
            health.add_brightness(value, 5.0)
        report = told(health)
        assert report.level is level
        assert report.values['brightness of images (0 to 255)'] == f'{sorted(values)[1]:.0f}'
    assert report.message.startswith('the images are dark, 3 of 255: ')


def test_a_camera_that_is_not_upright(health: Health, watch: Watch) -> None:
    """Nobody yet is no fault, but a hint; most people head down are a warning."""
    run(health, watch, 1.0)
    assert 'rotation' not in told(health).message, 'nobody looks for people here'
    health.add_people([], [], 0.2)
    assert told(health).level is Level.OK and 'nobody seen yet' in told(health).message
    health.add_people([0.5, 0.5, 0.5], [True, True, False], 0.2)
    assert told(health).level is Level.WARN
    assert told(health).message == 'most people are head down: set rotation, 180 more than it is'
    health.add_people([0.5, 0.5], [False, False], 0.2)
    assert (told(health).level, told(health).message) == (Level.OK, '20 answers a second')


def test_an_error_is_a_warning_for_a_while_and_remembered(health: Health, watch: Watch) -> None:
    run(health, watch, 1.0)
    health.record_error('no such bundle')
    assert (told(health).level, told(health).message) == (Level.WARN, 'no such bundle')
    run(health, watch, 20.0)
    assert told(health).level is Level.OK
    assert told(health).values['last error'] == 'no such bundle (20 s ago)'


def test_times_are_of_the_last_seconds(health: Health, watch: Watch) -> None:
    for milliseconds in [500] + [10] * 1089 + [20] * 11:
        with health.timed('network'):
            watch.now += milliseconds / 1000
    values = told(health).values
    assert float(values['network, mean (ms)']) == pytest.approx(10.1, abs=0.1)
    assert values['network, p99 (ms)'] == '20.0'
    watch.now += 20.0
    assert told(health).values['network, mean (ms)'] == ''


def test_drops_by_cause_and_gaps_in_the_numbers(health: Health) -> None:
    late = Counter({'late or repeated stamp': 3})
    health.include_drops(late)
    health.include_drops(Counter({'unreadable image': 1, 'late or repeated stamp': 2}))
    for number in (7, 8, 11, 5, 6, None, 90, 91, 2_000_000, 2_000_001):
        health.count_input(number)
    health.restart()
    health.count_input(2_000_050)
    values = told(health).values
    assert values['dropped: late or repeated stamp'] == '5'
    assert values['dropped: unreadable image'] == '1'
    assert values['dropped: replaced by a newer one, or lost on the way'] == '2'


def test_what_the_middleware_says_is_lost_was_not_replaced(health: Health, watch: Watch) -> None:
    """And where it is much, that is told."""
    for number in range(0, 300, 3):
        watch.now += 0.1
        health.count_input(number)
        health.count_answer(SECOND // 20, 1)
        share = health.count_lost(1)
    assert share == pytest.approx(0.5, abs=0.01)
    report = told(health)
    assert report.values['dropped: lost on the way'] == '100'
    assert report.values['dropped: replaced by a newer one, or lost on the way'] == '98'
    assert (report.level, report.message) == (Level.WARN, '50 % of the frames are lost on the way')
    run(health, watch, 20.0)
    assert told(health).level is Level.OK


def test_gaps_between_the_numbers_of_several_senders_mean_nothing(health: Health) -> None:
    health.has_one_sender = lambda: False
    for number in (7, 90, 8, 91):
        health.count_input(number)
    assert not any('replaced' in name for name in told(health).values)


def test_two_sources_on_a_topic_are_a_warning(health: Health, watch: Watch) -> None:
    """Whether two nodes publish, or one does whose stamps are of two clocks."""
    drops = Counter({Order.LATE.value: 3})
    health.include_drops(drops)
    run(health, watch, 1.0)
    assert told(health).level is Level.OK
    drops[Order.INTERLEAVED.value] += 1
    report = told(health)
    assert report.level is Level.WARN and 'two clocks on /front/image' in report.message
    run(health, watch, 20.0)
    assert told(health).level is Level.OK, 'it is over'
    health.senders = ['/left', '/right\x1b[31m']
    report = told(health)
    assert report.level is Level.WARN and report.message.isprintable()
    assert report.message.startswith('2 publishers on /front/image: /left, /right')
    drops[Order.INTERLEAVED.value] += 1
    assert 'publishers' in told(health).message
    run(health, watch, 20.0)
    health.senders = ['/left']
    assert told(health).level is Level.OK, 'what was hidden by something worse is over, too'


def test_another_that_answers_on_the_same_topic_is_a_warning(health: Health, watch: Watch) -> None:
    run(health, watch, 1.0)
    health.rivals = 'others publish on /actions, too'
    assert (told(health).level, told(health).message) == (Level.WARN, health.rivals)
    health.rivals = ''
    assert told(health).level is Level.OK


def test_a_log_tells_new_causes_at_once_and_counts_now_and_then(
        health: Health, watch: Watch) -> None:
    drops = Counter({'late': 1})
    health.include_drops(drops)
    health.skip('above max_rate')
    assert list(health.news()) == [(Level.WARN, 'dropped so far: late: 1')]
    drops['late'] += 1
    assert list(health.news()) == []
    health.drop('unreadable', ValueError('cut off\n'))
    (error, text), (warning, counts) = health.news()
    assert (error, warning) == (Level.ERROR, Level.WARN) and text.startswith('cut off')
    assert sorted(counts.split(': ', 1)[1].split(', ')) == ['late: 2', 'unreadable: 1']
    health.drop('unreadable', ValueError('cut off again'))
    assert list(health.news()) == []
    watch.now += 5.0
    assert [text for _, text in health.news()][0] == 'cut off again'
    assert told(health).values['dropped: above max_rate'] == '1'


def test_an_error_is_short_safe_and_expires(health: Health, watch: Watch) -> None:
    """It may quote what came from outside: a layout of ten million letters, escape codes."""
    health.record_error('unknown layout \x1b[31m\n[FATAL] ' + 'x' * 10_000_000)
    text = told(health).values['last error']
    assert len(text) < 700 and text.isprintable()
    run(health, watch, 61.0)
    assert told(health).values['last error'] == 'none'
