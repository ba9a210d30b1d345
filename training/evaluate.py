"""
Measure models on clips of people they never saw.

    python -m training.evaluate --run runs/act_mu --card models/act_mu.md

reads what `training.train` kept of the held-back people, fits the temperature and the threshold
for the unknown, and writes ``results.json`` and the tables of the model card. A clip is cut into
full windows at the model's rate, see `training.views.clip_windows`: those of a live node, but that
a clip shorter than a window is padded by its first pose. Its answer is the class of the greatest
mean probability over its windows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from act_ros.actions.classifier import ActClassifier
from act_ros.actions.features import extract_features
from act_ros.core.arguments import goes_with, one_line_errors
from act_ros.core.files import replacing
from act_ros.core.text import printable
from training.augmentation import LAYOUT
from training.checkpoint import CheckpointError, read_arrays
from training.config import TrainConfig, read_run
from training.data import load_data
from training.datasets.skeletons import (
    MPOSE_ORDER,
    UNKNOWN,
    DataError,
    Sequences,
    joints_of,
    load_sequences,
)
from training.metrics import (
    clip_mean,
    expected_calibration_error,
    fit_confidence,
    softmax,
    summary,
    unknown_threshold,
)
from training.views import VIEWS, clip_windows, see_clips

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'

SHORT = 'short'
"""The view that is 'turned' in the shortest windows: what is known of people who just appeared."""
WAIST_UP = 'waist_up'
"""The view that is 'turned' of people whose knees and feet are out of the picture."""
ROBOT_VIEWS = ('own', 'turned', 'moving', 'hidden')
"""Views that the threshold for the unknown is chosen on: what a robot sees."""

_BELOW = joints_of('knee', 'ankle')
_WRONG = 0.11  # share of all that may be answered wrongly


def views_of(config: TrainConfig) -> tuple[str, ...]:
    """Return the views a run is measured in; `SHORT` where short windows are learned from."""
    return (*VIEWS, WAIST_UP, SHORT) if config.short_windows else (*VIEWS, WAIST_UP)


class ViewedClips:
    """Clips seen by the cameras of one view: features (M, T, F) and the clip (M,) of each."""

    def __init__(self, sequences: Sequences, view: str, config: TrainConfig) -> None:
        seen = see_clips(sequences, view if view in VIEWS else 'turned', config.seed)
        if view == WAIST_UP:
            seen.joints[:, _BELOW, 3] = 0
        frames = config.min_frames if view == SHORT else config.num_frames
        keypoints, self.clip = clip_windows(
            seen, frames, config.frame_rate, pose_smoothing=config.pose_smoothing)
        self.features = extract_features(
            keypoints, LAYOUT, normalisation=config.normalisation, steady_size=config.steady_size)
        self.label = sequences.label


def measure(clips: ViewedClips, logits: np.ndarray, temperature: float = 1.0) -> dict[str, float]:
    """
    Return the measures of a model's logits (M, C) for the windows of clips.

    ``rejected`` is the share of unknown clips, if there are any, rejected at the threshold that
    loses 5 % of the known ones. Where no clip is known there is no measure.
    """
    known = clips.label != UNKNOWN
    if not known.any():
        return {}
    probabilities = clip_mean(softmax(logits, temperature), clips.clip)
    result = summary(clips.label[known], probabilities[known])
    confidence = probabilities.max(axis=-1)
    threshold = unknown_threshold(confidence[known])
    rejected = share_below(threshold, confidence[~known])
    return result if rejected is None else {**result, 'rejected': rejected}


def share_below(threshold: float, confidence: np.ndarray) -> float | None:
    """Return which part of some clips' confidences (N,) lies below; None where there is no clip."""
    return float((confidence < threshold).mean()) if len(confidence) else None


@dataclass(frozen=True, eq=False)
class HeldBack:
    """
    What a run's members say of people they never saw, in one view.

    ``log_mean`` (M, C) is the logarithm of the probabilities averaged over the members that held
    the window's person back; for a single member its logits. ``clip`` (M,) numbers the windows'
    clips, whose ``label``, ``source`` and ``group`` are (N,); ``is_stranger`` (N,) tells which
    are of a source of which the network knew nothing.
    """

    log_mean: np.ndarray
    clip: np.ndarray
    label: np.ndarray
    source: np.ndarray
    group: np.ndarray
    is_stranger: np.ndarray

    def select(self, chosen: np.ndarray) -> HeldBack:
        """Return what was said of the clips where a mask (N,) is true."""
        windows = chosen[self.clip]
        number = np.cumsum(chosen) - 1
        return HeldBack(self.log_mean[windows], number[self.clip[windows]], *(
            getattr(self, name)[chosen] for name in ('label', 'source', 'group', 'is_stranger')))

    def clips(self, temperature: float) -> np.ndarray:
        """Return the clips' probabilities (N, C)."""
        return clip_mean(softmax(self.log_mean, temperature), self.clip)


def load_held_back(run: Path, config: TrainConfig, view: str) -> HeldBack:
    """
    Collect the members' files of a run; FileNotFoundError names one that is missing, and
    CheckpointError one that is damaged.

    Where a run has a final network, single ones made like it tell what it can do; else all that
    held back the same people are averaged, as they will be in the bundle.
    """
    parts: list[HeldBack] = []
    for fold in sorted({*config.held_back_folds} - {-1}):
        files = []
        members = [i for i, other in enumerate(config.held_back_folds) if other == fold]
        for member in members[-1:] if config.final else members:
            path = run / f'member_{member}' / 'held_back.npz'
            if not path.is_file():
                raise FileNotFoundError(
                    f'{path} is missing: train member {member} first (python -m training.train)')
            files.append(read_arrays(path))
        logits = [file[f'{view}_logits'] for file in files]
        mean = np.mean([softmax(x) for x in logits], axis=0)
        parts.append(HeldBack(
            logits[0] if len(logits) == 1 else np.log(np.maximum(mean, 1e-9)),
            files[0][f'{view}_clip'] + sum(len(p.label) for p in parts),
            files[0]['label'], files[0]['source'], files[0]['group'],
            np.full(len(files[0]['label']), fold >= config.folds)))
    return HeldBack(*(np.concatenate([getattr(p, name) for p in parts])
                      for name in vars(parts[0])))


def evaluate_run(run: Path, config: TrainConfig) -> dict:
    """
    Return everything the bundle and the card need, as plain values.

    The temperature makes the confidence the chance of being right, the thresholds let through what
    `threshold_of` says; both of single windows, since that is what a robot acts on, as often other
    actions as known ones, and as often of strangers.

    :raises DataError: nobody held back, but for strangers, does an action that is known.
    """
    everybody = {name: load_held_back(run, config, name) for name in views_of(config)}
    views = {name: everybody[name].select(~everybody[name].is_stranger) for name in VIEWS}
    people = views['own']
    known = people.label != UNKNOWN
    if not known.any():
        raise DataError(f'{run}: nobody held back, but for strangers, does an action that is '
                        f'known: there is nothing to measure')
    met = np.array([config.prior.get(label, 1.0) for label in config.labels])
    robot = RobotMix.of([everybody[name] for name in ROBOT_VIEWS], met)
    temperature = fit_confidence(*robot)
    threshold = threshold_of(robot, temperature)
    return {
        'temperature': temperature, 'unknown_threshold': threshold,
        'short_threshold': threshold_of(
            RobotMix.of([everybody[SHORT]], met), temperature) if SHORT in everybody else 0.0,
        'views': {name: of_view(held, temperature, threshold) for name, held in views.items()},
        'robot_ece': robot.calibration_error(temperature),
        'strangers': of_strangers(everybody['turned'], temperature, threshold),
        'clips': int(known.sum()), 'unknown_clips': int((~known).sum()),
        'people': int(len(np.unique(people.group))),
        **of_classes(everybody, config.labels, temperature, threshold)}


def of_view(held: HeldBack, temperature: float, threshold: float) -> dict:
    """Return the measures of what was said in one view: of clips, of windows and by source."""
    known, answers = held.label != UNKNOWN, held.clips(temperature)
    of_known = known[held.clip]  # windows
    windows = softmax(held.log_mean[of_known], temperature)
    label_of = held.label[held.clip[of_known]]
    return {
        **summary(held.label[known], answers[known]),
        'ece_before': expected_calibration_error(held.label[known], held.clips(1.0)[known]),
        'window_accuracy': float((windows.argmax(-1) == label_of).mean()),
        'window_ece': expected_calibration_error(label_of, windows),
        **rejection(answers.max(axis=-1), known, threshold),
        'sources': {
            source: summary(held.label[mine], answers[mine]) | {'clips': int(mine.sum())}
            for source in np.unique(held.source)
            if (mine := known & (held.source == source)).any()}}


def of_classes(
    views: dict[str, HeldBack], labels: Sequence[str], temperature: float, threshold: float,
) -> dict:
    """Return the measures of each class, and the confusion matrix of known actions."""
    from sklearn.metrics import confusion_matrix  # slow to import

    # Of classes, strangers tell as much as people of sources that are known.
    answers = {name: views[name].clips(temperature) for name in (*VIEWS, WAIST_UP)}
    best = {name: answer.argmax(axis=-1) for name, answer in answers.items()}
    held = views['own']
    label = held.label
    matrix = np.sum([confusion_matrix(label, best[name], labels=range(len(labels)))
                     for name in VIEWS], axis=0)
    is_given = {name: answers[name].max(axis=-1) >= threshold for name in ROBOT_VIEWS}
    given = np.concatenate([best[name][is_given[name]] for name in ROBOT_VIEWS])
    truth = np.concatenate([label[is_given[name]] for name in ROBOT_VIEWS])
    return {'classes': {
        name: {
            'clips': int((mine := (label == c) & ~held.is_stranger).sum()),
            'people': int(len(np.unique(held.group[mine]))),
            'recall': _ratio(matrix[c, c], matrix[c].sum()),
            'precision': _ratio(matrix[c, c], matrix[:, c].sum()),
            'answered_precision': _ratio(int((truth[given == c] == c).sum()),
                                         int((given == c).sum())),
            **{f'{view}_recall': _ratio(int((best[view][label == c] == c).sum()),
                                        int((label == c).sum())) for view in ('hidden', WAIST_UP)}}
        for c, name in enumerate(labels)}, 'confusion': matrix.tolist()}


class RobotMix(NamedTuple):
    """
    Single windows as a robot meets them.

    As if half of what it sees were none of the actions, and half of the people from sources that
    the network knows nothing of (where some were held back).
    """

    logits: np.ndarray
    """(M, C)."""
    label: np.ndarray
    """(M,)."""
    weight: np.ndarray
    """(M,) how often each is met; their sum is 1."""

    @classmethod
    def of(cls, held: Sequence[HeldBack], met: np.ndarray) -> RobotMix:
        """Take the windows of all views alike, those of a class as often as ``met`` (C,) says."""
        label = np.concatenate([view.label[view.clip] for view in held])
        cell = 2 * (label == UNKNOWN) + np.concatenate([v.is_stranger[v.clip] for v in held])
        often = np.append(met, 1.0)[label]  # the last is `UNKNOWN`
        share = np.bincount(cell, often, minlength=4)
        return cls(np.concatenate([view.log_mean for view in held]), label,
                   often / share[cell] / np.count_nonzero(share))

    def calibration_error(self, temperature: float) -> float:
        """Return the mean gap between confidence and the chance of being right."""
        probabilities = softmax(self.logits, temperature)
        return expected_calibration_error(self.label, probabilities, self.weight)


def threshold_of(robot: RobotMix, temperature: float) -> float:
    """
    Return the confidence from which on no more than `_WRONG` of all are answered wrongly.

    What is none of the actions and answered all the same is wrong.
    """
    probabilities = softmax(robot.logits, temperature)
    confidence = probabilities.max(axis=-1)
    surest = np.argsort(-confidence, kind='stable')
    is_wrong = (probabilities.argmax(axis=-1) != robot.label) * robot.weight
    too_many = np.cumsum(is_wrong[surest]) > _WRONG
    if not too_many.any():
        return 0.0
    refused = confidence[surest[np.argmax(too_many)]]  # which would be one too many
    above = confidence[confidence > refused].min(initial=1.0)
    return float(min((refused + above) / 2, 0.99))


def rejection(
    confidence: np.ndarray, known: np.ndarray, threshold: float,
) -> dict[str, float | None]:
    """Return which part of unknown clips (N,) a threshold rejects, and of known ones it loses."""
    return {'unknown_rejected': share_below(threshold, confidence[~known]),
            'known_lost': share_below(threshold, confidence[known])}


def of_strangers(held: HeldBack, temperature: float, threshold: float) -> dict[str, dict]:
    """Return the measures of every source that was held back whole."""
    results = {}
    for source in np.unique(held.source[held.is_stranger]):
        mine = held.select(held.is_stranger & (held.source == source))
        known, answers = mine.label != UNKNOWN, mine.clips(temperature)
        if known.any():
            results[str(source)] = {
                **summary(mine.label[known], answers[known]),
                **rejection(answers.max(axis=-1), known, threshold), 'clips': int(known.sum())}
    return results


def evaluate_bundle(
    path: str | Path, sequences: Sequences,
) -> dict[str, dict[str, float | None]]:
    """
    Return the measures of a bundle, as a robot would load it, on clips it was not trained on.

    :returns: by view; the bundle's own temperature and threshold apply.
    :raises DataError: none of the clips is of an action that the bundle knows.
    """
    classifier = ActClassifier(path)
    threshold, known = classifier.bundle.unknown_threshold, sequences.label != UNKNOWN
    if not known.any():
        raise DataError(f'no clip is of an action that {path} knows: '
                        f'{", ".join(classifier.labels)}')
    results: dict[str, dict[str, float | None]] = {}
    for view in VIEWS:
        keypoints, clip = clip_windows(
            see_clips(sequences, view), classifier.num_frames, classifier.frame_rate,
            pose_smoothing=classifier.bundle.pose_smoothing)
        answer = clip_mean(np.concatenate([
            classifier.classify(keypoints[i:i + 64], LAYOUT)
            for i in range(0, len(keypoints), 64)]), clip)
        results[view] = {
            **summary(sequences.label[known], answer[known]), 'clips': int(known.sum()),
            'unknown_clips': int((~known).sum()),
            **rejection(answer.max(axis=-1), known, threshold)}
    return results


def floors(sequences: Sequences, folds: np.ndarray, config: TrainConfig) -> dict[str, float]:
    """
    Return the accuracy (own camera) of two answers that need no training, on the same people,
    who are dealt into ``folds`` (N,).

    ``majority``: the most frequent class of the other people. ``nearest_neighbour``: the class of
    the other people's window whose features are nearest, voted over the clip's windows.
    """
    hits: dict[str, list[np.ndarray]] = {'majority': [], 'nearest_neighbour': []}
    known = sequences.label != UNKNOWN
    for fold in sorted({*config.held_back_folds} & {*folds[known].tolist()}):
        train = ViewedClips(sequences.select(known & (folds != fold)), 'own', config)
        test = ViewedClips(sequences.select(known & (folds == fold)), 'own', config)
        hits['majority'].append(test.label == np.bincount(train.label).argmax())
        library = train.features.reshape(len(train.features), -1)
        half_norm = (library ** 2).sum(axis=1) / 2
        votes = []
        for begin in range(0, len(test.features), 512):
            query = test.features[begin:begin + 512].reshape(-1, library.shape[1])
            nearest = (query @ library.T - half_norm).argmax(axis=1)
            votes.append(np.eye(len(config.labels))[train.label[train.clip[nearest]]])
        answer = clip_mean(np.concatenate(votes), test.clip).argmax(axis=-1)
        hits['nearest_neighbour'].append(answer == test.label)
    return {name: float(np.concatenate(parts).mean()) for name, parts in hits.items()}


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def tables(results: dict) -> str:
    """Return the results as Markdown."""
    def percent(value: float | None) -> str:
        return '-' if value is None else f'{100 * value:.1f}'

    lines = [
        f'{results["clips"]} clips of {results["people"]} people (or films, where people are not '
        f'named) held back, and {results["unknown_clips"]} clips of other actions. Percent; ECE '
        f'as a fraction.',
        f'The confidence is the chance of being right where half of what is seen are other actions '
        f'and half of the people strangers: there its ECE is {results["robot_ece"]:.3f}. Known '
        f'actions alone, as in the tables, are right more often than it says.',
        *([f'Floor, own camera: always the most frequent class {percent(floor["majority"])}, '
           f'nearest neighbour on the features {percent(floor["nearest_neighbour"])}.']
          if (floor := results.get('floors')) else []), '',
        '| camera | accuracy | balanced | macro-F1 | ECE (before) | one window: accuracy | '
        'its ECE | unknown rejected | known lost |', '|---|' + '---|' * 8]
    for name, view in results['views'].items():
        lines.append(
            f'| {name} | {percent(view["accuracy"])} | {percent(view["balanced_accuracy"])} | '
            f'{percent(view["macro_f1"])} | {view["ece"]:.3f} ({view["ece_before"]:.3f}) | '
            f'{percent(view["window_accuracy"])} | {view["window_ece"]:.3f} | '
            f'{percent(view["unknown_rejected"])} | {percent(view["known_lost"])} |')
    names = list(results['views'])
    lines += ['', '| source | clips | ' + ' | '.join(
        f'{n}: accuracy / balanced / macro-F1' for n in names) + ' |',
        '|---|---|' + '---|' * len(names)]
    for source, first in results['views'][names[0]]['sources'].items():
        cells = (results['views'][n]['sources'][source] for n in names)
        lines.append(f'| {printable(source)} | {first["clips"]} | ' + ' | '.join(
            f'{percent(c["accuracy"])} / {percent(c["balanced_accuracy"])} / '
            f'{percent(c["macro_f1"])}' for c in cells) + ' |')
    if results['strangers']:
        lines += ['', '| source as a stranger | clips | accuracy | ECE | unknown rejected | '
                  'known lost |', '|---|---|---|---|---|---|']
        lines += [f'| {printable(name)} | {of["clips"]} | {percent(of["accuracy"])} | '
                  f'{of["ece"]:.3f} | {percent(of["unknown_rejected"])} | '
                  f'{percent(of["known_lost"])} |'
                  for name, of in results['strangers'].items()]
        mean = np.mean([of['accuracy'] for of in results['strangers'].values()])
        lines.append(f'| mean | | {percent(mean)} | | | |')
    lines += ['', '| class | clips held back | people | recall | partly hidden | '
              'waist up | precision | precision of what is answered | most taken for |',
              '|---|---|---|---|---|---|---|---|---|']
    labels = list(results['classes'])
    for c, (label, row) in enumerate(results['classes'].items()):
        wrong = np.array(results['confusion'][c])
        wrong[c] = 0
        share = percent(wrong.max() / max(sum(results['confusion'][c]), 1))
        worst = f'{labels[wrong.argmax()]} ({share})'
        lines.append(f'| {label} | {row["clips"]} | {row["people"]} | {percent(row["recall"])} | '
                     f'{percent(row["hidden_recall"])} | {percent(row["waist_up_recall"])} | '
                     f'{percent(row["precision"])} | {percent(row["answered_precision"])} | '
                     f'{worst if wrong.any() else "-"} |')
    needy = [label for label, row in results['classes'].items()
             if (row['recall'] or 0) > 2 * (row['waist_up_recall'] or 0)]
    lines += ['', f'Classes that need knees and feet, since from the waist up less than half as '
              f'many are told: {", ".join(needy) or "none"}.']
    return '\n'.join(lines)


def write_tables(card: Path, text: str) -> None:
    """Put the tables between the markers of a model card."""
    content = card.read_text(encoding='utf-8')
    head, begin, rest = content.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f'{card} has no lines {BEGIN} and {END} to put the tables between')
    with replacing(card) as file:
        file.write_text(f'{head}{BEGIN}\n{text}\n{END}{tail}', encoding='utf-8')


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description='Measure models on clips of people they never saw.')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--run', type=Path, help='folder of a training run')
    what.add_argument('--bundle', help='a bundle, measured on --files that it never saw')
    parser.add_argument('--files', type=Path, nargs='+', default=[], help='sequence files')
    parser.add_argument('--mpose-order', action='store_true', help=MPOSE_ORDER)
    parser.add_argument('--card', type=Path, help='model card to put the tables into')
    parser.add_argument('--data', type=Path, help='folder of the sequence files: measure the '
                        'floors, majority and nearest neighbour, too')
    options = parser.parse_args(arguments)
    goes_with(parser, options, 'bundle', 'files', 'mpose_order')
    goes_with(parser, options, 'run', 'card', 'data')
    with one_line_errors(parser, OSError, ValueError, CheckpointError):
        if options.bundle:
            labels = ActClassifier(options.bundle).labels
            found = evaluate_bundle(options.bundle, load_sequences(
                options.files, labels, options.mpose_order))
            for view, values in found.items():
                print(view, ', '.join(f'{key} {"-" if value is None else f"{value:.4g}"}'
                                      for key, value in values.items()))
            return
        config = read_run(options.run)
        data = load_data(config, options.data, options.run) if options.data else None
        results = evaluate_run(options.run, config)
        if data:
            results['floors'] = floors(*data, config)
        with replacing(options.run / 'results.json') as file:
            file.write_text(json.dumps(results, indent=1), 'utf-8')
        print(tables(results))
        print(f'temperature {results["temperature"]:.3f}, '
              f'unknown below {results["unknown_threshold"]:.3f}')
        if options.card:
            write_tables(options.card, tables(results))


if __name__ == '__main__':
    main()
