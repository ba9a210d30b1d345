"""Pictures of what an AcT learned: the paper's Figures 6 to 10."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from act_ros.core.files import replacing
from act_ros.core.skeletons import get_layout

_LEFT, _RIGHT, _MIDDLE = '#d1495b', '#2e6f95', '#444444'

_BESIDE = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 0.8), (-1, 0.8), (1, -0.8), (-1, -0.8)]
"""Where a name stands beside its circle, the usual place first."""


class Example(NamedTuple):
    """
    A window to draw: keypoints (T, K, 2) of ``layout`` and the class token's attention (T,).

    ``answer`` is what the network says, ``probability`` how sure it is, ``label`` the truth.
    ``pictures`` are what the camera saw then: T times RGB uint8 (H, W, 3), where there is video.
    """

    keypoints: np.ndarray
    layout: str
    label: str
    answer: str
    probability: float
    attention: np.ndarray
    pictures: Sequence[np.ndarray] = ()

    @property
    def title(self) -> str:
        """Say truth and answer in a line."""
        wrong = '' if self.answer == self.label else f' taken for {self.answer}'
        return f'{self.label}{wrong} ({self.probability:.0%})'


def draw_attention_maps(path: Path, layers: Sequence[np.ndarray], title: str) -> None:
    """
    Draw the attention of every head and layer for one window (Figure 6).

    :param layers: (heads, T + 1, T + 1) of each layer; row 0 is the class token's.
    """
    heads, tokens = layers[0].shape[:2]
    figure = Figure((2.5 * len(layers) + 1.0, 2.5 * heads + 1.0), layout='constrained')
    axes = figure.subplots(heads, len(layers), squeeze=False, sharex=True, sharey=True)
    # The square root shows weak attention beside strong.
    scale = PowerNorm(0.5, 0, max(float(layer.max()) for layer in layers))
    ticks = np.arange(0, tokens, 10)
    for column, layer in enumerate(layers):
        for row in range(heads):
            axis = axes[row, column]
            image = axis.imshow(layer[row], norm=scale, cmap='magma')
            axis.set_xticks(ticks, ['class', *map(str, ticks[1:])])
            axis.set_yticks(ticks, ['class', *map(str, ticks[1:])])
            axis.tick_params(length=2, labelsize=8)
            if row == 0:
                axis.set_title(f'layer {column + 1}', fontsize=10)
            if row == heads - 1:
                axis.set_xlabel('attends to frame', fontsize=9)
            if column == 0:
                axis.set_ylabel(f'head {row + 1}' if heads > 1 else 'token', fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.8, label='attention')
    figure.suptitle(f'Self-attention: {title}', fontsize=11)
    _save(figure, path)


def draw_class_attention(path: Path, examples: Sequence[Example], title: str) -> None:
    """
    Draw skeletons over time, the more opaque the more the class token attends (Figure 7).

    Below them is what the camera saw, where there are pictures.
    """
    ratios = [ratio for x in examples for ratio in ((6, 5, 1) if len(x.pictures) else (6, 1))]
    figure = Figure((12, 0.25 * sum(ratios) + 0.5), layout='constrained')
    axes = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)
    figure.suptitle(title, fontsize=11)
    rows = iter(axes[:, 0])
    for i, example in enumerate(examples):
        frames = len(example.attention)
        step = math.ceil(frames / 15)  # as many as have room
        chosen = range(frames - 1, -1, -step)
        strength = example.attention / example.attention.max()
        upper = next(rows)
        if len(example.pictures):
            middle = next(rows)
            for frame in chosen:
                middle.imshow(example.pictures[frame], aspect='auto',
                              extent=(frame - 0.48 * step, frame + 0.48 * step, 0, 1))
            middle.set(xlim=(-1.2, frames), ylim=(0, 1))
            middle.axis('off')
        lower = next(rows)
        for frame in chosen:
            _draw_skeleton(upper, example, frame, 0.06 + 0.94 * strength[frame])
        upper.set_xlim(-1.2, frames)
        upper.invert_yaxis()
        upper.axis('off')
        upper.set_title(example.title, fontsize=10, loc='left', pad=2)
        lower.bar(np.arange(frames), example.attention, color='#5b8e7d', width=0.8)
        lower.axhline(1 / frames, color='0.4', lw=0.8, ls=':')
        lower.set_xlim(-1.2, frames)
        lower.set_yticks([])
        lower.spines[['top', 'right', 'left']].set_visible(False)
        lower.tick_params(length=2, labelsize=8)
        if i < len(examples) - 1:
            lower.set_xticklabels([])
    axes[-1, 0].set_xlabel("frame of the window; bars: the class token's attention, dotted: equal "
                           'attention', fontsize=9)
    _save(figure, path)


def _draw_skeleton(axis: Any, example: Example, frame: int, alpha: float) -> None:
    """Draw one pose at the x position of its frame, all poses of a window at one scale."""
    layout = get_layout(example.layout)
    # MPOSE has joints that were not seen at (0, 0); what is not a number is not drawn.
    keypoints = np.where(example.keypoints.any(axis=-1, keepdims=True), example.keypoints, np.nan)
    points, rows = keypoints[frame], keypoints[..., 1]
    if np.isnan(points).all():
        return
    top = np.nanmin(rows)
    height = max(float(np.nanmax(rows) - top), 1e-6)
    hips = points[[layout.joints.index(f'{side}_hip') for side in 'lr'], 0]
    middle = np.nanmean(points[:, 0] if np.isnan(hips).all() else hips)
    # A frame is this much narrower than a window of poses is high.
    place = (points - (middle, top)) / height * (3.4, 1.0) + (frame, 0.0)
    bones = [(place[a], place[b]) for a, b in layout.edges]
    colours = []
    for a, b in layout.edges:
        sides = {layout.joints[a][:2], layout.joints[b][:2]}
        colours.append(_LEFT if sides == {'l_'} else _RIGHT if sides == {'r_'} else _MIDDLE)
    head = next(i for i, name in enumerate(layout.joints) if name in ('head', 'nose'))
    shoulders = [layout.joints.index(f'{side}_shoulder') for side in 'lr']
    bones.append((place[head], place[shoulders].mean(axis=0)))
    colours.append(_MIDDLE)
    axis.add_collection(LineCollection(bones, colors=colours, alpha=alpha, lw=1.8,
                                       capstyle='round'))
    axis.scatter(*place[head], s=22, color=_MIDDLE, alpha=alpha, lw=0)
    axis.set_ylim(-0.08, 1.08)


def draw_frame_dropping(
    path: Path, start: dict[int, float], end: dict[int, float], chance: float, title: str,
) -> None:
    """Draw balanced accuracy by the number of frames dropped from start and end (Figure 8)."""
    figure = Figure((6.4, 4.2), layout='constrained')
    axis = figure.subplots()
    for values, name, colour, marker in ((start, 'from the start', _RIGHT, 'o'),
                                         (end, 'from the end', _LEFT, 's')):
        axis.plot(list(values), [100 * v for v in values.values()], marker=marker, ms=3.5, lw=1.5,
                  color=colour, label=name)
    axis.axhline(100 * chance, color='0.5', lw=1, ls='--', label='chance')
    axis.set(xlabel='frames dropped', ylabel='balanced accuracy (%)', ylim=(0, 100), title=title)
    axis.title.set_fontsize(11)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    axis.spines[['top', 'right']].set_visible(False)
    _save(figure, path)


def draw_position_similarity(path: Path, similarity: np.ndarray, title: str) -> None:
    """Draw the cosine similarity (T + 1, T + 1) of the position embeddings (Figure 9)."""
    figure = Figure((5.6, 4.8), layout='constrained')
    axis = figure.subplots()
    image = axis.imshow(similarity, vmin=-1, vmax=1, cmap='RdBu_r')
    ticks = np.arange(0, len(similarity), 5)
    for which in (axis.xaxis, axis.yaxis):
        which.set_ticks(ticks, ['class', *map(str, ticks[1:])])
    axis.set(xlabel='position', ylabel='position', title=title)
    axis.title.set_fontsize(11)
    figure.colorbar(image, label='cosine similarity')
    _save(figure, path)


def draw_latency(path: Path, panels: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """
    Draw accuracy (percent) over latency, a panel for each key (Figure 10).

    :param panels: networks, ``model``, ``median_ms``, ``accuracy`` and ``parameters`` of each; the
        area of their circles tells the last.
    """
    figure = Figure((4.6 * len(panels) + 0.6, 4.6), layout='constrained')
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axis, (title, networks) in zip(axes[0], panels.items(), strict=True):
        for row in networks:
            colour = _LEFT if row['model'].startswith('act_') else _RIGHT
            place = row['median_ms'], row['accuracy']
            axis.scatter(*place, s=4 * _radius(row) ** 2, color=colour, alpha=0.45, lw=0)
            axis.plot(*place, '.', color=colour, ms=4)
        axis.set_xscale('log')
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter('{x:g}')
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set(xlabel='milliseconds a window', title=title)
        axis.title.set_fontsize(11)
        axis.margins(0.16, 0.12)
        axis.grid(alpha=0.2, which='both')
        axis.spines[['top', 'right']].set_visible(False)
    axes[0, 0].set_ylabel('accuracy (%)')
    figure.draw_without_rendering()  # names are placed where everything else will be
    figure.set_layout_engine('none')
    for axis, networks in zip(axes[0], panels.values(), strict=True):
        _name_networks(axis, networks)
    _save(figure, path)


def _radius(row: Mapping[str, Any]) -> float:
    """Return the radius of a network's circle in points."""
    return math.sqrt(30 + row['parameters'] / 8e3) / 2


def _name_networks(axis: Any, networks: Sequence[Mapping[str, Any]]) -> None:
    """Write each name beside its circle, where it hides least of names, centres and circles."""
    point = axis.figure.dpi / 72
    centres = axis.transData.transform([(row['median_ms'], row['accuracy']) for row in networks])
    dots = [Bbox([centre - 3 * point, centre + 3 * point]) for centre in centres]
    circles = [Bbox([centre - _radius(row) * point, centre + _radius(row) * point])
               for centre, row in zip(centres, networks, strict=True)]
    names: list[Bbox] = []
    for row in networks:
        name = axis.annotate(
            row['model'], (row['median_ms'], row['accuracy']), (0, 0), textcoords='offset points',
            fontsize=8, ha='center', va='center', in_layout=False)
        box = name.get_window_extent()
        offsets = np.array(_BESIDE) * (_radius(row) * point + box.size / 2)
        boxes = [box.translated(*offset) for offset in offsets]
        hidden = [1000 * (_shared(x, [*names, *dots]) - _shared(x, [axis.bbox]))
                  + _shared(x, circles) for x in boxes]
        best = int(np.argmin(np.round(hidden)))  # of equal ones the usual place
        name.set_position(offsets[best] / point)
        names.append(boxes[best])


def _shared(box: Bbox, others: Sequence[Bbox]) -> float:
    """Return the area of a box that others cover."""
    common = [Bbox.intersection(box, other) for other in others]
    return sum(x.width * x.height for x in common if x)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as file:
        figure.savefig(file, dpi=140)
