"""
Command line: ``python -m act_ros.evaluation`` and ``ros2 run act_ros evaluate_bag``.

Exit status: 0; 1 where the balanced accuracy is below what was asked for; 2 where a bag, its
labels or the arguments cannot be used; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from act_ros.core.arguments import count_from, one_line_errors, share
from act_ros.core.text import printable
from act_ros.evaluation.compare import compare
from act_ros.evaluation.report import write_json
from act_ros.evaluation.run import Job, Result, evaluate
from act_ros.evaluation.scores import rounded
from act_ros.evaluation.settings import read_settings


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog='evaluate_bag', description='How good are the answers on a recorded bag, where do '
        'they err, and is another model or parameter better?')
    made.add_argument('bags', nargs='*', type=Path, metavar='BAG',
                      help='rosbag2 folders or single .mcap or .db3 files')
    made.add_argument('--labels', nargs='+', type=Path, default=[], metavar='CSV',
                      help='start, end, label, person; one file for each bag, in the same order')
    made.add_argument('--output', type=Path, default=Path('evaluation'), metavar='DIR',
                      help='where results go; with several bags each has a folder in it')
    made.add_argument('--topic', help='what to evaluate, where the bag holds several: keypoints, '
                      'images, or recorded actions')
    made.add_argument('--bundle', help='model bundle: a name in the models folder, or a path')
    made.add_argument('--params', type=Path, metavar='YAML',
                      help='ROS parameter file of pose_node and act_node, as config/act.yaml')
    made.add_argument('--export-annotated', type=Path, metavar='MP4',
                      help='also write a video with skeletons, ids and actions')
    made.add_argument('--jobs', type=count_from(1), default=1, metavar='N', help='bags at a time')
    made.add_argument('--min-balanced-accuracy', type=share, metavar='SHARE',
                      help='exit with 1 below it, for continuous integration')
    made.add_argument('--compare', nargs=2, type=Path, metavar=('A', 'B'),
                      help='two output folders of earlier runs, to put side by side')
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    made = parser()
    options = made.parse_args(arguments)
    with one_line_errors(made, OSError, ValueError, RuntimeError, ImportError):
        status = _compare(made, options) if options.compare else _run(made, options)
    return status


def _compare(made: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if others := ['bags' if name == 'bags' else f'--{name.replace("_", "-")}'
                  for name, value in vars(options).items() if name not in ('compare', 'output')
                  and value not in ([], made.get_default(name))]:
        made.error('--compare takes the results of earlier runs, and no '
                   + printable(', '.join(others)))
    a, b = options.compare
    print(f'see {printable(compare(a, b, options.output))}')
    return 0


def _run(made: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if not options.bags:
        made.error('give at least one BAG, or --compare A B')
    if options.labels and len(options.labels) != len(options.bags):
        made.error(f'{len(options.bags)} bags, but {len(options.labels)} labels files')
    if options.min_balanced_accuracy is not None and not options.labels:
        made.error('--min-balanced-accuracy needs --labels')
    if options.export_annotated and len(options.bags) > 1:
        made.error('--export-annotated takes one bag')
    settings = read_settings(options.params, options.bundle)
    jobs = [Job(bag, options.output, labels, options.topic, settings, options.export_annotated)
            for bag, labels in zip(
                options.bags, options.labels or [None] * len(options.bags), strict=True)]
    if len(jobs) > 1:
        if len({job.name for job in jobs}) < len(jobs):
            made.error('two bags have the same name; their results would overwrite each other')
        jobs = [replace(job, output=options.output / job.name) for job in jobs]
    return _conclude(jobs, _evaluate(jobs, min(options.jobs, len(jobs))), options)


def _evaluate(jobs: Sequence[Job], workers: int) -> list[Result]:
    is_terminal = sys.stderr.isatty()
    if workers == 1:
        return [evaluate(job, is_terminal) for job in jobs]
    # A child made by fork would share the threads of the TFLite runtime.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return list(tqdm(pool.map(evaluate, jobs), 'bags', len(jobs), disable=not is_terminal))


def _conclude(jobs: Sequence[Job], results: Sequence[Result], options: argparse.Namespace) -> int:
    """Print the figures, write those of all bags together, and return the exit status."""
    rows = [(job.name, result.summary) for job, result in zip(jobs, results, strict=True)]
    if len(results) > 1:
        total = results[0].scores
        for result in results[1:]:
            total.merge(result.scores)
        overall: dict[str, Any] = rounded(total.summary())
        write_json(options.output / 'summary.json',
                   {'bags': [job.name for job in jobs], **overall})
        rows.append(('all', overall))
    for name, summary in rows:
        for warning in summary.get('warnings', ()):
            print(f'{printable(name)}: warning: {printable(warning, 1000)}', file=sys.stderr)
    print(f'{"bag":<24} {"frames":>7} {"accuracy":>9} {"balanced":>9} {"macro F1":>9} {"ECE":>6}')
    for name, summary in rows:
        figures = [summary.get(key) for key in ('accuracy', 'balanced_accuracy', 'macro_f1')]
        cells = ' '.join(f'{"-" if v is None else format(v, ".3f"):>9}' for v in figures)
        ece = summary['calibration']['ece'] if 'calibration' in summary else None
        print(f'{printable(name):<24} {summary["frames"]:>7} {cells} '
              f'{"-" if ece is None else format(ece, ".3f"):>6}')
    print(f'see {printable(", ".join(str(job.output / "report.html") for job in jobs), 1000)}')
    least = options.min_balanced_accuracy
    reached = rows[-1][1].get('balanced_accuracy')
    if least is not None and (reached is None or reached < least):
        print(f'balanced accuracy {reached} is below {least}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
