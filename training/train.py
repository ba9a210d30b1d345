"""
Train the members of a model and keep what each says of the people it never saw.

    python -m training.train --config training/configs/act_mu_default.yaml --data FOLDER

An interrupted run goes on where it stopped. Then `training.export` makes the bundle.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from act_ros.actions.features import num_features
from act_ros.core.arguments import count_from, one_line_errors
from act_ros.core.text import printable
from training.augmentation import LAYOUT, WindowSampler, at_least, sampling_weights
from training.checkpoint import CheckpointError, write_arrays, write_whole
from training.config import (
    TrainConfig,
    check_data,
    check_settings,
    keep_data,
    keep_settings,
    load_config,
)
from training.data import is_held_back, load_data, load_errors, part_of_people
from training.datasets.skeletons import UNKNOWN, DataError, Sequences, check_disjoint
from training.errors import ErrorBank
from training.evaluate import ViewedClips, measure, views_of
from training.finetuning import (
    FALL,
    LEARNED,
    OldNetwork,
    Recalls,
    as_table,
    fallen,
    together,
    unlearned,
)
from training.metrics import share_background
from training.models import build
from training.networks import WEIGHTS, Serving, as_served, weights_of
from training.step import Batch
from training.trainer import (
    OnEpoch,
    Predict,
    Trainer,
    device,
    in_turn,
    start_afresh,
    tell_duration,
    tensorboard_log,
)

RECALLS = 'recalls.json'
"""Of each member of a fine-tuning: how well labels were known before and after."""
OF_EACH = 128
"""Windows of each kept label of each source, by which new labels are held apart from them."""


class People:
    """
    The people whom a network learns from, and those it never sees.

    :param held_back: which sequences (N,) are never seen, see `training.data.is_held_back`.
    """

    def __init__(
        self, config: TrainConfig, sequences: Sequences, held_back: np.ndarray,
        errors: ErrorBank | None = None,
    ) -> None:
        self.config, self.errors = config, errors
        self.train = part_of_people(sequences.select(~held_back), config.people, config.seed)
        self.held_back = sequences.select(held_back)
        if not len(self.train):
            raise DataError('everybody is held back, so that nobody is left to learn from: name '
                            'files of other sources, or fewer strangers')
        check_disjoint(self.train, self.held_back)
        self.steps = config.windows_per_epoch // config.batch_size
        self.old = OldNetwork(config) if config.start_from else None
        emphasis = np.array([config.emphasis.get(label, 1.0) for label in config.labels])
        weights = sampling_weights(self.train, config.unknown_share, config.balance, emphasis)
        if self.old:
            is_new = ~np.isin(np.array([*config.labels, ''])[self.train.label],
                              [*self.old.kept, ''])
            # As much as the other labels, and no more: they would be taken for the new ones.
            share = (1 - config.unknown_share) * (1 - len(self.old.kept) / len(config.labels))
            weights = at_least(weights, is_new, share)
        self.sampler = WindowSampler(self.train, config, weights, errors)
        self.views = {view: ViewedClips(self.held_back, view, config)
                      for view in views_of(config) if len(self.held_back)}

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        for _ in range(self.steps):
            yield make_batch(rng, self.sampler, self.config)

    def logits(self, view: str, predict: Predict) -> np.ndarray:
        """Return a network's logits (M, C) of a view's windows; a background is shared out."""
        return share_background(predict(self.views[view].features), len(self.config.labels))

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return measures on the clips of the people held back, by view."""
        row: dict[str, float] = {}
        for view, clips in self.views.items():
            result = measure(clips, self.logits(view, predict))
            row |= {f'{view}_{key}': result[key] for key in ('accuracy', 'macro_f1', 'rejected')
                    if key in result}
        return row


def make_batch(
    rng: np.random.Generator, sampler: WindowSampler, config: TrainConfig,
) -> Batch:
    """Return features (B, T, F) and target distributions (B, C): smoothed, unknown = uniform."""
    frames = config.num_frames
    if rng.random() < config.short_windows:  # two lengths: each is compiled once
        frames = int(rng.choice((config.min_frames, (config.min_frames + frames) // 2)))
    features, label = sampler.draw(rng, config.batch_size, frames)
    smooth = np.full((len(label), 1), config.label_smoothing)
    if not config.background:
        smooth[label == UNKNOWN] = 1.0
    # UNKNOWN is -1: the last output, which is the background if there is one.
    target = np.eye(config.num_outputs)[label] * (1 - smooth) + smooth / config.num_outputs
    return features, target.astype(np.float32)


def make_trainer(config: TrainConfig, people: People, number: int) -> Trainer[People]:
    """
    Return what trains the ``number``-th network of a run.

    :raises ValueError: the network is not known, or takes no short windows.
    """
    def network() -> keras.Model:
        options: dict[str, Any] = {} if config.dropout is None else {'dropout': config.dropout}
        model = build(config.model, config.num_frames, num_features(LAYOUT, config.normalisation),
                      config.num_outputs, **options)
        if config.short_windows and model.input_shape[1] is not None:
            raise ValueError(f'{config.model} takes no windows shorter than {config.num_frames} '
                             f'frames: short_windows must be 0')
        if people.old:
            people.old.transfer(model)
        return model

    teach = people.old.teacher(config.remember) if people.old and config.remember else None
    return Trainer(config, people, network, [config.seed, number], teach,
                   config.old_layers if people.old else 1.0,
                   partial(as_served, layout=LAYOUT, labels=config.labels,
                           serving=Serving.of(vars(config))))


def hold_apart(trainer: Trainer[People]) -> None:
    """Lower the new labels of a fine-tuned network by the lead that they must have."""
    people, config = trainer.source, trainer.source.config
    if not people.old:
        return
    kept = people.train.select(np.isin(
        people.train.label, [config.labels.index(label) for label in people.old.kept]))
    if not len(kept):
        return
    groups, group = np.unique(
        [f'{label}|{source}' for label, source in zip(kept.label, kept.source, strict=True)],
        return_inverse=True)
    sampler = WindowSampler(replace(kept, label=group), config, 1 / np.bincount(group)[group],
                            people.errors)
    rng = np.random.default_rng([*trainer.seed, config.epochs])  # of no epoch
    drawn = [sampler.draw(rng, config.batch_size)
             for _ in range(-(-OF_EACH * len(groups) // config.batch_size))]
    features, group = map(np.concatenate, zip(*drawn, strict=True))
    seen = group != UNKNOWN
    kernel, bias = trainer.model.layers[-1].get_weights()
    lead = people.old.lead(group[seen], trainer.logits(features[seen]))
    bias[:len(lead)] -= lead
    trainer.model.layers[-1].set_weights([kernel, bias])


def save(trainer: Trainer[People], folder: Path) -> None:
    """
    Write the weights, and the logits for the people held back, in every view, for the export.

    The weights come last: where they are, the network is done.
    """
    people = trainer.source
    if people.views:
        arrays: dict[str, Any] = {}
        for view, clips in people.views.items():
            arrays[f'{view}_logits'] = people.logits(view, trainer.logits)
            arrays[f'{view}_clip'] = clips.clip
        held_back = people.held_back
        write_arrays(folder / 'held_back.npz', **arrays, label=held_back.label,
                     source=held_back.source, take=held_back.take,
                     source_label=held_back.source_label, group=held_back.group)
        if people.old:
            recalls = people.old.recalls(
                held_back.label, people.views['turned'].clip,
                people.views['turned'].features, arrays['turned_logits'])
            write_whole(folder / RECALLS, lambda path: path.write_text(json.dumps(recalls)))
    write_whole(folder / f'member{WEIGHTS}', trainer.model.save_weights)


def train(
    config: TrainConfig, data: Path, output: Path, members: Sequence[int] | None = None,
    tensorboard: bool = False,
) -> None:
    """
    Train members of a configuration, by default all, into a folder of its name in ``output``.

    :raises ValueError: there is no such member, the data cannot be used, or the folder holds a run
        of other settings or data.
    :raises CheckpointError: the disk is full; the same call goes on later.
    """
    known = range(len(config.held_back_folds))
    if strange := sorted(set(members or ()) - set(known)):
        raise ValueError(f'there is no member {", ".join(map(str, strange))}: those of '
                         f'{config.name} are 0 to {known[-1]}')
    run = output / config.name
    check_settings(run, config)
    sequences, folds = load_data(config, data)
    errors = load_errors(config, data)
    files = {name: data / name for name in (*config.files, config.errors) if name}
    if config.start_from:
        files[config.start_from] = weights_of(config.start_from)
    check_data(run, files)
    folders = {number: run / f'member_{number}' for number in members or known}
    todo = {number: folder for number, folder in folders.items()
            if not (folder / f'member{WEIGHTS}').is_file()}
    if there := sorted(folders.keys() - todo.keys()):
        print(f'trained already: member {", ".join(map(str, there))}; to train anew, remove '
              f'{printable(run)} or choose another --output', file=sys.stderr)
    for done, (number, folder) in enumerate(todo.items()):
        title = f'{config.name} member {number}'
        tell = tell_duration(title, config.epochs, len(todo) - done)
        people = People(config, sequences, is_held_back(
            config, sequences, folds, config.held_back_folds[number]), errors)
        trainer = make_trainer(config, people, number)
        if not done:  # what is refused leaves nothing behind
            keep_settings(run, config)
            keep_data(run, files)
        checkpoint = folder / 'checkpoint.npz'
        trainer.run(checkpoint, title, in_turn(_log(folder, tensorboard), tell))
        hold_apart(trainer)
        save(trainer, folder)
        checkpoint.unlink(missing_ok=True)
    if config.start_from:
        tell_recalls(sorted(run.glob(f'member_*/{RECALLS}')))


def read_recalls(file: Path) -> Recalls:
    """Read what `save` wrote; CheckpointError where it is damaged."""
    try:
        recalls: Recalls = json.loads(file.read_text(encoding='utf-8'))
        as_table(recalls)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f'{file} is damaged ({error!r}): remove the folder {file.parent} and '
                              f'train this member again') from error
    return recalls


def tell_recalls(files: Sequence[Path]) -> None:
    """Print how well labels were known before and after fine-tuning; warn of those that fell."""
    recalls = together(map(read_recalls, files))
    if recalls:
        print(as_table(recalls))
    if names := fallen(recalls):
        print(f'warning: {", ".join(names)} fell by more than {100 * FALL:.0f} points on people '
              f'held back. Rehearse more (files with these labels), raise remember, or train for '
              f'fewer epochs.', file=sys.stderr)
    if names := unlearned(recalls):
        print(f'warning: less than {100 * LEARNED:.0f} % of {", ".join(names)} is known of people '
              f'held back: what looks like a kept label is left to it. Record more people who do '
              f'it, and more who do what looks like it.', file=sys.stderr)


def _log(folder: Path, tensorboard: bool) -> OnEpoch:
    """Return what writes each epoch's values into the folder, as its line of a file."""
    folder.mkdir(parents=True, exist_ok=True)
    board = tensorboard_log(folder) if tensorboard else None

    def log(epoch: int, values: dict[str, float]) -> None:
        row = {'epoch': epoch, **{name: round(value, 5) for name, value in values.items()}}
        with open(folder / 'log.jsonl', 'a+', encoding='utf-8') as file:
            file.seek(0)
            for _ in range(1, epoch):
                file.readline()
            file.truncate(file.tell())  # what was done since the checkpoint is done again
            file.write(json.dumps(row) + '\n')
        if board:
            board(epoch, values)

    return log


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description='Train the members of a model.')
    parser.add_argument('--config', required=True, help='YAML file of the run')
    parser.add_argument('--data', type=Path, required=True, help='folder of the sequence files')
    parser.add_argument('--output', type=Path, default=Path('runs'),
                        help='folder for checkpoints and results; the run gets one inside')
    parser.add_argument('--member', type=int, action='append',
                        help='train this member only; may be repeated')
    parser.add_argument('--tensorboard', action='store_true',
                        help='also log for TensorBoard, beside log.jsonl')
    parser.add_argument('--threads', type=count_from(0), default=0, help='CPU threads; 0 = all')
    options = parser.parse_args(arguments)
    start_afresh(options.threads)
    print(f'training on {device()}', file=sys.stderr)
    with one_line_errors(parser, OSError, ValueError, ImportError, CheckpointError):
        train(load_config(options.config), options.data, options.output, options.member,
              options.tensorboard)


if __name__ == '__main__':
    main()
