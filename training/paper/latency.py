"""
How fast each network runs on this machine: the paper's Figure 10.

    python -m training.paper.latency --output runs/latency

Every registered network is exported to TFLite with fresh weights, which change nothing in its
speed, and run on single windows as TensorFlow's benchmark tool does: 10 warm-ups, then 100 runs,
for each number of threads. Each network gets a process of its own, whose growth of resident memory
is the network's. Windows have the features that the pose extractor's poses give (``--extractor``:
68 a frame of PoseNet, else 52). Accuracies are the paper's, or those of a benchmark's CSV
(``--results``). The figure leaves out the MLP, whose accuracy lies far below all others.

Writes ``latency.csv``, ``latency.md`` and ``latency.png``.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from act_ros.actions.features import num_features
from act_ros.core.arguments import one_line_errors
from act_ros.core.files import replacing_in
from act_ros.tflite.runtime import find_runtime, load_interpreter, runtime_name
from training.paper.benchmark_report import Row, as_csv, paper_results
from training.paper.mpose import LAYOUTS, NUM_FRAMES, PAPER_LAYOUTS, SPLITS
from training.progress import progress

# TensorFlow is imported where networks are built: the measuring processes must be free of it.

NOT_MEASURED: Row = {'accuracy': None, 'balanced': None, 'accuracy_from': None}
"""Percent, and where it is from, in a row of a network whose accuracy nobody has measured."""


def export_random(
    name: str, num_frames: int = NUM_FRAMES, layout: str = PAPER_LAYOUTS['openpose'],
) -> tuple[bytes, int, int]:
    """
    Return the TFLite file of a network with fresh weights, its parameters and features a frame.

    AcT is exported as for a bundle, the others for one window of that length.

    :param layout: whose joints the features are.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    from training.export import convert
    from training.models import build, normalisation_of

    width = num_features(layout, normalisation_of(name))
    model = build(name, num_frames, width, layout=layout)
    if name.startswith('act_'):
        return convert([model]), model.count_params(), width
    traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, num_frames, width), tf.float32))
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    return (tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert(),
            model.count_params(), width)


def measure(
    model: bytes, shape: tuple[int, ...], threads: Sequence[int], warm_ups: int, runs: int,
) -> list[Row]:
    """
    Run a network on windows (1, T, F) of this shape.

    :returns: a row for each number of threads; ``memory_bytes`` is the growth of resident memory
        from before loading until after the runs with the first of them.
    """
    find_runtime()
    features = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    before, memory, rows = _resident(), 0, []
    for count in threads:
        interpreter = load_interpreter(model, count)
        number = interpreter.get_input_details()[0]['index']
        interpreter.resize_tensor_input(number, shape)
        interpreter.allocate_tensors()
        milliseconds = []
        for _ in range(warm_ups + runs):
            interpreter.set_tensor(number, features)
            begin = time.perf_counter()
            interpreter.invoke()
            milliseconds.append(1000 * (time.perf_counter() - begin))
        taken = np.array(milliseconds[warm_ups:])
        memory = memory or max(_resident() - before, 0)
        rows.append({'memory_bytes': memory, 'threads': count, 'mean_ms': float(taken.mean()),
                     'std_ms': float(taken.std()), 'median_ms': float(np.median(taken)),
                     'p95_ms': float(np.percentile(taken, 95))})
    return rows


def _resident() -> int:
    """Return the bytes of this process in memory; where there is no Linux, the most there were."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE')
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_all(
    models: Sequence[str], threads: Sequence[int], warm_ups: int, runs: int,
    accuracies: dict[str, Row], layout: str,
) -> list[Row]:
    """Export and measure networks one after another, each in a process of its own."""
    rows = []
    spawn = multiprocessing.get_context('spawn')
    for name in progress(models, 'networks'):
        content, parameters, width = export_random(name, layout=layout)
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            try:
                measured = pool.submit(
                    measure, content, (1, NUM_FRAMES, width), threads, warm_ups, runs).result()
            except BrokenProcessPool as error:
                raise ChildProcessError(f'the process that measures {name} has died, as it does '
                                        f'when memory runs out') from error
        rows += [{'model': name, 'parameters': parameters, 'size_bytes': len(content), **row,
                  **accuracies.get(name, NOT_MEASURED)} for row in measured]
    return rows


def paper_accuracies(extractor: str, split: int) -> dict[str, Row]:
    """Return the paper's accuracy of each single network, in percent, and where it is from."""
    return {model: dict(zip(NOT_MEASURED, (*values, 'paper'), strict=True))
            for (of, model, members, number), values in paper_results().items()
            if (of, members, number) == (extractor, 1, split)}


def read_accuracies(path: Path, extractor: str, split: int) -> dict[str, Row]:
    """
    Return those of single networks in the CSV file that `training.paper.benchmark` writes.

    :raises ValueError: the file cannot be read, or holds nothing of that extractor and split.
    """
    try:
        with open(path, newline='', encoding='utf-8') as file:
            found = {
                row['model']: dict(zip(NOT_MEASURED, (
                    float(row['accuracy']), float(row['balanced']), path.name), strict=True))
                for row in csv.DictReader(file)
                if (row['extractor'], row['split'], row['members']) == (extractor, str(split), '1')}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise ValueError(f'{path} is not a results file of training.paper.benchmark ({error!r})'
                         ) from error
    if not found:
        raise ValueError(f'{path} holds no result of extractor {extractor}, split {split}')
    return found


def as_markdown(rows: Sequence[Row], warm_ups: int, runs: int) -> str:
    """Return a table with a line for every network, and what it was measured on."""
    threads = _by(rows, 'threads')
    lines = [
        f'Milliseconds for one window, median / 95th percentile of {runs} runs after {warm_ups} '
        f'warm-ups. {platform.machine()}, {os.cpu_count()} cores, {runtime_name()}.', '',
        '| model | parameters | file MB | memory MB | ' + ' | '.join(map(_threads, threads))
        + ' | accuracy / balanced (%) | from |',
        '|---|--:|--:|--:|' + '--:|' * len(threads) + '---|---|']
    for model, own in _by(rows, 'model').items():
        row = own[0]
        cells = [f'{x["median_ms"]:.2f} / {x["p95_ms"]:.2f}' for x in own]
        quality = ('- | -' if row['accuracy'] is None else
                   f'{row["accuracy"]:.2f} / {row["balanced"]:.2f} | {row["accuracy_from"]}')
        lines.append(f'| {model} | {row["parameters"]:,} | {row["size_bytes"] / 1e6:.2f} | '
                     f'{row["memory_bytes"] / 1e6:.1f} | {" | ".join(cells)} | {quality} |')
    return '\n'.join(lines) + '\n'


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw accuracy over the median latency; of unknown accuracy are left out, and the MLP."""
    from training.figures import draw_latency

    shown = [row for row in rows if row['accuracy'] is not None and row['model'] != 'mlp']
    if shown:
        draw_latency(path, {
            _threads(count): own for count, own in _by(shown, 'threads').items()})


def _by(rows: Sequence[Row], key: str) -> dict[Any, list[Row]]:
    """Return the rows by their value of a key, in order."""
    return {value: [row for row in rows if row[key] == value] for value in dict.fromkeys(
        row[key] for row in rows)}


def _threads(count: int) -> str:
    return f'{count} thread{"s" * (count > 1)}'


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    from training.models import MODELS

    parser = argparse.ArgumentParser(description='Latency, memory and size of every network.')
    parser.add_argument('--output', type=Path, required=True, help='folder of the results')
    parser.add_argument('--models', nargs='+', default=list(MODELS), choices=MODELS,
                        metavar='MODEL', help=f'default: all, {", ".join(MODELS)}')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2, 8],
                        help='numbers of threads to measure with')
    parser.add_argument('--warm-ups', type=int, default=10, help='runs that do not count')
    parser.add_argument('--runs', type=int, default=100, help='runs that count')
    parser.add_argument('--results', type=Path, help='CSV of '
                        "training.paper.benchmark: its accuracies instead of the paper's")
    parser.add_argument('--extractor', choices=LAYOUTS, default='openpose',
                        help='whose poses the networks read, and the accuracies are of')
    parser.add_argument('--split', type=int, choices=SPLITS, default=1,
                        help='the split that the accuracies are of')
    options = parser.parse_args(arguments)
    if min(*options.threads, options.runs, options.warm_ups + 1) < 1:
        parser.error('threads and runs must be at least 1, warm-ups at least 0')
    with one_line_errors(parser, OSError, ValueError):
        accuracies = paper_accuracies(options.extractor, options.split)
        if options.results:
            accuracies = read_accuracies(options.results, options.extractor, options.split)
        rows = measure_all(options.models, options.threads, options.warm_ups, options.runs,
                           accuracies, PAPER_LAYOUTS[options.extractor])
        table = f'{options.extractor}, split {options.split}. ' + as_markdown(
            rows, options.warm_ups, options.runs)
        with replacing_in(options.output, last='latency.csv') as folder:
            (folder / 'latency.csv').write_text(as_csv(rows), encoding='utf-8')
            (folder / 'latency.md').write_text(table, encoding='utf-8')
            plot(folder / 'latency.png', rows)
    print(table)


if __name__ == '__main__':
    main()
