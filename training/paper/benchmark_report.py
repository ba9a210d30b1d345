"""Tables and figures of a benchmark, made of the files of its folds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from act_ros.pictures.captions import is_light
from training.checkpoint import read_arrays, write_whole
from training.datasets.labels import MPOSE_LABELS
from training.metrics import softmax, summary

if TYPE_CHECKING:
    from training.paper.protocol import ProtocolConfig

Row = dict[str, Any]
Fold = dict[str, np.ndarray]

PAPER = Path(__file__).with_name('paper_results.csv')


def scores(label: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """Return accuracy and balanced accuracy in percent, of labels (N,), probabilities (N, C)."""
    measures = summary(label, probabilities)
    return 100 * measures['accuracy'], 100 * measures['balanced_accuracy']


def ensemble_probabilities(folds: Iterable[Fold]) -> np.ndarray:
    """Return the mean (N, C) of the members' probabilities."""
    return np.mean([softmax(fold['logits'].astype(np.float64)) for fold in folds], axis=0)


def read_folds(folder: Path, extractor: str) -> dict[tuple[int, str], list[Fold]]:
    """Return the folds of every split and model that are there, by fold number."""
    found: dict[tuple[int, str], list[Fold]] = {}
    for place in sorted((folder / extractor).glob('split_*/*')):
        for path in sorted(place.glob('fold_?.npz')):
            fold = read_arrays(path)
            fold['fold'] = np.array(int(path.stem.removeprefix('fold_')))
            split = int(place.parent.name.removeprefix('split_'))
            found.setdefault((split, place.name), []).append(fold)
    return found


def add_streams(
    folds: dict[tuple[int, str], list[Fold]], streams: dict[str, tuple[str, str]],
) -> dict[tuple[int, str], list[Fold]]:
    """Return the folds and those of networks whose two streams were trained apart."""
    joined = dict(folds)
    for split in {split for split, _ in folds}:
        for name, (first, second) in streams.items():
            others = {int(fold['fold']): fold for fold in folds.get((split, second), [])}
            both = [{
                'logits': np.log(np.maximum(ensemble_probabilities([fold, other]), 1e-12)),
                'label': fold['label'], 'parameters': fold['parameters'] + other['parameters']}
                for fold in folds.get((split, first), [])
                if (other := others.get(int(fold['fold'])))]
            if both:
                joined[split, name] = both
    return joined


def paper_results() -> dict[tuple[str, str, int, int], tuple[float, float]]:
    """Return the paper's accuracy and balanced accuracy by extractor, model, members, split."""
    return {(row['extractor'], row['model'], int(row['members']), split):
            (float(row[f'accuracy_{split}']), float(row[f'balanced_{split}']))
            for row in _paper_rows() for split in (1, 2, 3)}


def paper_parameters(extractor: str = 'openpose') -> dict[tuple[str, int], int]:
    """Return the thousands of parameters that the paper lists, by model and members."""
    return {(row['model'], int(row['members'])): int(row['parameters'])
            for row in _paper_rows() if row['extractor'] == extractor}


def _paper_rows() -> list[dict[str, str]]:
    return list(csv.DictReader(line for line in PAPER.read_text(encoding='utf-8').splitlines()
                               if not line.startswith('#')))


def rows_of(
    folds: dict[tuple[int, str], list[Fold]], extractor: str, ensemble_model: str,
    ensembles: Iterable[int],
) -> list[Row]:
    """
    Return a row for every split, model and number of members.

    Ensembles are made of disjoint groups of folds; mean and standard deviation (of the population,
    as the authors') are over folds or groups.
    """
    paper, counts = paper_results(), paper_parameters(extractor)
    rows = []
    for (split, model), members in folds.items():
        sizes = [1, *ensembles] if model == ensemble_model else [1]
        for size in sizes:
            groups = [members[i:i + size] for i in range(0, len(members) - size + 1, size)]
            if not groups:
                continue
            values = np.array([scores(group[0]['label'], ensemble_probabilities(group))
                               for group in groups])
            theirs = paper.get((extractor, model, size, split), (None, None))
            rows.append({
                'extractor': extractor, 'split': split, 'model': model, 'members': size,
                'parameters': size * int(members[0]['parameters']),
                'paper_parameters': 1000 * counts.get((model, size), 0) or None,
                'runs': len(groups),
                'accuracy': values[:, 0].mean(), 'accuracy_std': _deviation(values[:, 0]),
                'balanced': values[:, 1].mean(), 'balanced_std': _deviation(values[:, 1]),
                'paper_accuracy': theirs[0], 'paper_balanced': theirs[1]})
    return sorted(rows, key=lambda row: (row['split'], row['members'], row['parameters']))


def _deviation(values: np.ndarray) -> float | None:
    """Return the standard deviation; a single run has none."""
    return float(values.std()) if len(values) > 1 else None


def as_csv(rows: list[Row]) -> str:
    """Return the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows({k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()}
                     for row in rows)
    return text.getvalue()


def as_markdown(rows: list[Row]) -> str:
    """Return a table: a line a model, our accuracy / balanced accuracy and the paper's a split."""
    splits = sorted({row['split'] for row in rows})
    names = list(dict.fromkeys((row['model'], row['members']) for row in rows))
    cells = {(row['model'], row['members'], row['split']): row for row in rows}
    lines = [f'MPOSE2021, {rows[0]["extractor"]}: accuracy / balanced accuracy in percent, mean ± '
             f'standard deviation over the runs (folds, or disjoint groups of folds).', '',
             '| model | parameters | paper | ' + ' | '.join(
                 f'split {s} | runs | paper' for s in splits) + ' |',
             '|---|--:|--:|' + '---|--:|---|' * len(splits)]
    for model, members in names:
        found = [cells.get((model, members, split)) for split in splits]
        title = model if members == 1 else f'{model} ×{members}'
        row = next(row for row in found if row)
        theirs = f'{row["paper_parameters"]:,}' if row['paper_parameters'] else '-'
        lines.append(f'| {title} | {row["parameters"]:,} | {theirs} | '
                     + ' | '.join(_cell(r) for r in found) + ' |')
    return '\n'.join(lines) + '\n'


def _cell(row: Row | None) -> str:
    if row is None:
        return '- | 0 | -'
    paper = ('-' if row['paper_accuracy'] is None else
             f'{row["paper_accuracy"]:.2f} / {row["paper_balanced"]:.2f}')
    ours = ' / '.join(
        f'{row[name]:.2f}' + ('' if row[f'{name}_std'] is None else f' ± {row[f"{name}_std"]:.2f}')
        for name in ('accuracy', 'balanced'))
    return f'{ours} | {row["runs"]} | {paper}'


def plot_curves(path: Path, folds: list[Fold], title: str) -> None:
    """Draw loss and validation accuracy of every fold over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout='constrained')
    for axes, name in zip(figure.subplots(1, 2), ('loss', 'validation_accuracy'), strict=True):
        for fold in folds:
            epochs = np.arange(1, len(fold[name]) + 1)
            measured = np.isfinite(fold[name])
            axes.plot(epochs[measured], fold[name][measured], linewidth=1)
        axes.set(xlabel='epoch', title=name.replace('_', ' '))
        axes.grid(alpha=0.3)
    figure.suptitle(f'{title}, {len(folds)} folds')
    write_whole(path, lambda temporary: figure.savefig(temporary, dpi=120))


def plot_confusion(path: Path, folds: list[Fold], title: str) -> None:
    """Draw the confusion matrix of all folds together, in percent of the true class."""
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    classes = len(MPOSE_LABELS)
    shares = 100 * confusion_matrix(
        np.concatenate([fold['label'] for fold in folds]),
        np.concatenate([fold['logits'].argmax(-1) for fold in folds]),
        labels=range(classes), normalize='true')
    figure = Figure(figsize=(8, 8), layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    for i, j in zip(*np.nonzero(shares >= 0.5), strict=True):
        axes.text(j, i, f'{shares[i, j]:.0f}', ha='center', va='center', fontsize=7,
                  color='black' if is_light(to_hex(image.cmap(shares[i, j] / 100))) else 'white')
    axes.set_xticks(range(classes), MPOSE_LABELS, rotation=90)
    axes.set_yticks(range(classes), MPOSE_LABELS)
    axes.set(xlabel='answer', ylabel='action', title=f'{title}, percent of the action')
    write_whole(path, lambda temporary: figure.savefig(temporary, dpi=120))


def write_report(folder: Path, config: ProtocolConfig) -> str:
    """
    Write ``results.csv``, ``results.md`` and each model's figures; return the Markdown table.

    :raises ValueError: when there is no fold yet.
    """
    from training.models import STREAMS  # needs TensorFlow, which `training.paper.latency` does not

    place = folder / config.extractor
    folds = add_streams(read_folds(folder, config.extractor), STREAMS)
    if not folds:
        raise ValueError(f'{place} holds no fold yet')
    rows = rows_of(folds, config.extractor, config.ensemble_model, config.ensembles)
    table = as_markdown(rows)
    write_whole(place / 'results.csv', lambda path: path.write_text(as_csv(rows), 'utf-8'))
    write_whole(place / 'results.md', lambda path: path.write_text(table, 'utf-8'))
    for (split, model), members in folds.items():
        where, title = place / f'split_{split}' / model, f'{model}, split {split}'
        where.mkdir(exist_ok=True)
        if 'loss' in members[0]:
            plot_curves(where / 'curves.png', members, title)
        plot_confusion(where / 'confusion.png', members, title)
    return table
