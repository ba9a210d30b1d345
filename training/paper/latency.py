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
import io
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import numpy as np
from tqdm import tqdm

from act_ros.actions.features import num_features
from act_ros.core.text import printable
from act_ros.tflite.runtime import find_runtime, load_interpreter, runtime_name
from training.paper.mpose import LAYOUTS, NUM_FRAMES, PAPER_LAYOUTS, SPLITS

# TensorFlow is imported where networks are built: the measuring processes must be free of it.


class Timing(NamedTuple):
    """Milliseconds of one window with so many threads, over all runs."""

    threads: int
    mean: float
    std: float
    median: float
    p95: float


class Accuracy(NamedTuple):
    """Percent, and where it is from."""

    accuracy: float
    balanced: float
    source: str


class Latency(NamedTuple):
    """
    What one network costs.

    ``size`` is the file's, ``memory`` the growth of resident memory from before loading until after
    the runs with the first number of threads; both bytes.
    """

    model: str
    parameters: int
    size: int
    memory: int
    timings: list[Timing]
    accuracy: Accuracy | None


def export_random(
    name: str, num_frames: int = NUM_FRAMES, layout: str = PAPER_LAYOUTS['openpose'],
) -> tuple[bytes, int]:
    """
    Return the TFLite file of a network with fresh weights, and its number of parameters.

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
        return convert([model]), model.count_params()
    traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, num_frames, width), tf.float32))
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    return (tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert(),
            model.count_params())


def measure(
    model: bytes, shape: tuple[int, ...], threads: Sequence[int], warm_ups: int, runs: int,
) -> tuple[int, list[Timing]]:
    """Run a network on windows (1, T, F) of this shape; return its memory (bytes) and timings."""
    find_runtime()
    features = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    before, memory, timings = _resident(), 0, []
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
        timings.append(Timing(count, float(taken.mean()), float(taken.std()),
                              float(np.median(taken)), float(np.percentile(taken, 95))))
    return memory, timings


def _resident() -> int:
    """Return the bytes of this process in memory; where there is no Linux, the most there were."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE')
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_all(
    models: Sequence[str], threads: Sequence[int], warm_ups: int = 10, runs: int = 100,
    accuracies: dict[str, Accuracy] | None = None, layout: str = PAPER_LAYOUTS['openpose'],
) -> list[Latency]:
    """Export and measure networks one after another, each in a process of its own."""
    from training.models import normalisation_of

    rows = []
    spawn = multiprocessing.get_context('spawn')
    for name in tqdm(models, 'networks', disable=not sys.stderr.isatty()):
        content, parameters = export_random(name, layout=layout)
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            memory, timings = pool.submit(measure, content, (
                1, NUM_FRAMES, num_features(layout, normalisation_of(name))), tuple(threads),
                warm_ups, runs).result()
        rows.append(Latency(name, parameters, len(content), memory, timings,
                            (accuracies or {}).get(name)))
    return rows


def paper_accuracies(extractor: str, split: int) -> dict[str, Accuracy]:
    """Return the paper's accuracy of each single network."""
    from training.paper.benchmark_report import paper_results

    return {model: Accuracy(*values, 'paper')
            for (of, model, members, number), values in paper_results().items()
            if (of, members, number) == (extractor, 1, split)}


def read_accuracies(path: Path, extractor: str, split: int) -> dict[str, Accuracy]:
    """
    Return the accuracies of single networks in the CSV file that `training.paper.benchmark` writes.

    :raises ValueError: the file cannot be read, or holds nothing of that extractor and split.
    """
    try:
        with open(path, newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        found = {row['model']: Accuracy(float(row['accuracy']), float(row['balanced']), path.name)
                 for row in rows
                 if (row['extractor'], row['split'], row['members']) == (extractor, str(split),
                                                                         '1')}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise ValueError(f'{path} is not a results file of training.paper.benchmark ({error!r})'
                         ) from error
    if not found:
        raise ValueError(f'{path} holds no result of extractor {extractor}, split {split}')
    return found


def as_csv(rows: Sequence[Latency]) -> str:
    """Return a line for every network and number of threads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['model', 'parameters', 'size_bytes', 'memory_bytes', 'threads', 'mean_ms',
                     'std_ms', 'median_ms', 'p95_ms', 'accuracy', 'balanced', 'accuracy_from'])
    for row in rows:
        for t in row.timings:
            writer.writerow([row.model, row.parameters, row.size, row.memory, t.threads,
                             *(f'{x:.4f}' for x in t[1:]), *(row.accuracy or ('', '', ''))])
    return text.getvalue()


def as_markdown(rows: Sequence[Latency], warm_ups: int, runs: int) -> str:
    """Return a table with a line for every network, and what it was measured on."""
    threads = [t.threads for t in rows[0].timings]
    lines = [
        f'Milliseconds for one window, median / 95th percentile of {runs} runs after {warm_ups} '
        f'warm-ups. {platform.machine()}, {os.cpu_count()} cores, {runtime_name()}.', '',
        '| model | parameters | file MB | memory MB | '
        + ' | '.join(f'{n} thread{"s" * (n > 1)}' for n in threads)
        + ' | accuracy / balanced (%) | from |',
        '|---|--:|--:|--:|' + '--:|' * len(threads) + '---|---|']
    for row in rows:
        cells = [f'{t.median:.2f} / {t.p95:.2f}' for t in row.timings]
        quality = (f'{row.accuracy.accuracy:.2f} / {row.accuracy.balanced:.2f} | '
                   f'{row.accuracy.source}' if row.accuracy else '- | -')
        lines.append(f'| {row.model} | {row.parameters:,} | {row.size / 1e6:.2f} | '
                     f'{row.memory / 1e6:.1f} | {" | ".join(cells)} | {quality} |')
    return '\n'.join(lines) + '\n'


def plot(path: Path, rows: Sequence[Latency]) -> None:
    """Draw accuracy over the median latency; of unknown accuracy are left out, and the MLP."""
    from training.figures import Bubble, draw_latency

    panels = {}
    for i, timing in enumerate(rows[0].timings):
        panels[f'{timing.threads} thread{"s" * (timing.threads > 1)}'] = [
            Bubble(row.model, row.timings[i].median, row.accuracy.accuracy, row.parameters)
            for row in rows if row.accuracy and row.model != 'mlp']
    draw_latency(path, panels)


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
    try:
        accuracies = paper_accuracies(options.extractor, options.split)
        if options.results:
            accuracies = read_accuracies(options.results, options.extractor, options.split)
    except ValueError as error:
        parser.error(printable(error, 1000))
    rows = measure_all(options.models, options.threads, options.warm_ups, options.runs, accuracies,
                       PAPER_LAYOUTS[options.extractor])
    options.output.mkdir(parents=True, exist_ok=True)
    table = f'{options.extractor}, split {options.split}. ' + as_markdown(
        rows, options.warm_ups, options.runs)
    (options.output / 'latency.csv').write_text(as_csv(rows), encoding='utf-8')
    (options.output / 'latency.md').write_text(table, encoding='utf-8')
    if any(row.accuracy and row.model != 'mlp' for row in rows):
        plot(options.output / 'latency.png', rows)
    print(table)


if __name__ == '__main__':
    main()
