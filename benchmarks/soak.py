"""
The pipeline for a long time: does it grow, does it slow down?

Images at 30 Hz, in which people come and go, so that ids, tracks and windows are made and forgotten
all the time. A row for every half minute; then what the hours after the warm-up have changed. Ends
with status 1 where memory grows by 1 MB or more in ten minutes, threads or descriptors become more,
or the 99th percentile of the age rises by half.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

import numpy as np
import rclpy

from act_ros.core.arguments import count_from, positive
from benchmarks.pipeline import COMPOSITIONS, Camera, Process, running, set_up_ros, walkers
from benchmarks.report import Row, one_line, parser, percentiles, save, show

_RATE, _PERIOD, _LEAST = 30.0, 30.0, 3
_CROWDS = range(1, 7)
# Longer than a person who is out of sight is remembered.
_ABSENCE = 2.5


def scenes() -> Iterator[tuple[list[np.ndarray], float]]:
    """Yield images and for how many seconds to show them: some people, then nobody."""
    rng, crowds = random.Random(0), {people: walkers(people) for people in _CROWDS}
    nobody = [np.full_like(crowds[1][0], 127)]
    while True:
        yield crowds[rng.choice(_CROWDS)], rng.uniform(2.0, 8.0)
        yield nobody, _ABSENCE


def watch(camera: Camera, processes: list[Process], minutes: float, period: float) -> list[Row]:
    """Play scenes and return a row for every ``period`` seconds."""
    rows: list[Row] = []
    begin, showing = time.perf_counter(), scenes()
    while (now := time.perf_counter()) < begin + 60 * minutes:
        ages: list[float] = []
        sent, before = 0, sum(process.cpu_seconds for process in processes)
        while time.perf_counter() < now + period:
            frames, seconds = next(showing)
            camera.play(frames, _RATE, round(seconds * _RATE))
            ages += camera.ages
            sent += round(seconds * _RATE)
        end = time.perf_counter()
        p50, p99 = percentiles(ages)
        cpu = sum(process.cpu_seconds for process in processes) - before
        rows.append({
            'minutes': (end - begin) / 60, 'answered': len(ages) / sent,
            'age p50 ms': p50, 'age p99 ms': p99, 'CPU share of a core': cpu / (end - now),
            'private MB': round(sum(process.memory_mb[1] for process in processes), 2),
            'threads': sum(process.threads for process in processes),
            'descriptors': sum(process.descriptors for process in processes)})
        print(', '.join(f'{name} {value:.4g}' for name, value in rows[-1].items()), flush=True)
    return rows


def growth(rows: list[Row]) -> Row:
    """
    Return what changed from the first third of the rows to the last, memory by its slope.

    :raises ValueError: they are too few to have thirds.
    """
    if len(rows) < _LEAST:
        raise ValueError(f'{len(rows)} rows say nothing of growth: {_LEAST} or more are compared')
    third = len(rows) // 3
    early, late = rows[:third], rows[-third:]
    minutes, memory = ([row[name] for row in rows] for name in ('minutes', 'private MB'))
    slope = float(np.polyfit(minutes, memory, 1)[0])
    more = {name: max(row[name] for row in late) - max(row[name] for row in early)
            for name in ('threads', 'descriptors')}
    p99 = [float(np.median([row['age p99 ms'] for row in part])) for part in (early, late)]
    return {'MB more in 10 minutes': 10 * slope, 'threads more': more['threads'],
            'descriptors more': more['descriptors'], 'p99 late / early': p99[1] / p99[0]}


def is_steady(verdict: Row) -> bool:
    """Whether a robot may run like this for a year."""
    return bool(
        verdict['MB more in 10 minutes'] < 1.0 and verdict['threads more'] <= 0
        and verdict['descriptors more'] <= 0 and verdict['p99 late / early'] < 1.5)


@one_line
def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument('--minutes', type=positive, default=10.0, help='after the warm-up')
    arguments.add_argument('--warm-up', type=float, default=2.0, help='minutes')
    arguments.add_argument('--composition', choices=COMPOSITIONS, default='one process')
    arguments.add_argument('--threads', type=count_from(1), default=1, help='of the pose network')
    arguments.add_argument('--bundle', default='act_mu', help='model bundle: a name or a path')
    options = arguments.parse_args()
    if 60 * options.minutes < _LEAST * _PERIOD:
        arguments.error(f'--minutes: must be {_LEAST * _PERIOD / 60:g} or more, for {_LEAST} rows '
                        f'to compare, not {options.minutes:g}')
    set_up_ros()
    with running(COMPOSITIONS[options.composition], options) as (processes, camera):
        camera.wait_for_nodes()
        watch(camera, processes, options.warm_up, _PERIOD)
        print('warm', flush=True)
        rows = watch(camera, processes, options.minutes, _PERIOD)
    rclpy.shutdown()
    show(f'{options.composition}, people coming and going, {_RATE:g} Hz', rows)
    verdict = growth(rows)
    show('After the warm-up', [verdict])
    save(options.json, soak=rows, verdict=[verdict])
    sys.exit(not is_steady(verdict))


if __name__ == '__main__':
    main()
