"""What people did over time: a JSON line for every frame, and a picture of all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, chain, pairwise
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import IO, Any

import numpy as np

from act_ros.core.action import Action, Status
from act_ros.core.person import OUT_OF_SIGHT
from act_ros.core.place import Place, PlaceKind
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.pictures.captions import is_light, label_colour
from act_ros.pictures.stretches import Stretch, extend

_FRAME = 1 / 30  # drawn length in seconds of a stretch's last frame
_MOST_INCHES = 60.0
_MOST_LABELS = 60  # in the legend


@cache
def _shares() -> tuple[str, ...]:
    """Return every share that is written, 0 to 1 by four digits: to look up is to round."""
    return tuple(repr(i / 10_000) for i in range(10_001))


def frame_line(
    stamp: int, actions: Sequence[Action], truths: Sequence[str] = (), more: str = '',
) -> str:
    """
    Return the JSON line of the frame at ``stamp`` nanoseconds: stamps in seconds, status by name.

    Put together by hand: an encoder would take ten times as long for some hundred numbers.

    :param actions: probabilities in [0, 1], boxes finite.
    :param truths: JSON of what each of them should be, as ``truth``; none: not written.
    :param more: JSON of further members of the object, with a comma before each.
    """
    shares = _shares()
    ends = [0, *accumulate(len(action.probabilities) for action in actions)]
    rounded = np.rint(1e4 * np.concatenate(
        [np.zeros(0), *(a.probabilities for a in actions)])).astype(int).tolist()
    entries = []
    for action, (begin, end) in zip(actions, pairwise(ends), strict=True):
        x_min, y_min, x_max, y_max = action.box.tolist()
        entries.append(
            f'{{"person_id": {quoted(action.person_id)}, "label": {quoted(action.label)}, '
            f'"label_id": {action.label_id}, "confidence": {round(action.confidence, 4)}, '
            f'"status": "{action.status.name}", "duration": {action.duration:.3f}, '
            f'"window_start": {action.window_start / NANOSECONDS}, '
            f'"window_end": {action.window_end / NANOSECONDS}, "frames": {action.frames}, '
            f'"box": [{x_min:.1f}, {y_min:.1f}, {x_max:.1f}, {y_max:.1f}], '
            f'"probabilities": [{", ".join([shares[i] for i in rounded[begin:end]])}]'
            + _place_members(action.place))
    if truths:
        entries = [f'{entry}, "truth": {truth}'
                   for entry, truth in zip(entries, truths, strict=True)]
    listed = ''.join([f'{entry}}}, ' for entry in entries])[:-2]
    return f'{{"stamp": {stamp / NANOSECONDS}, "actions": [{listed}]{more}}}\n'


def _place_members(place: Place) -> str:
    """Return what is known of a place as JSON members, each with a comma before it."""
    if place.kind is PlaceKind.NOWHERE:
        return ''
    text = f', "place": "{place.kind.name}"'
    if all(map(math.isfinite, place.position)):
        text += f', "position": {[round(metres, 3) for metres in place.position]}'
    return text + ''.join([
        f', "{name}": {value:.4f}' for name in ('bearing', 'distance', 'distance_error')
        if math.isfinite(value := getattr(place, name))])


class Timeline:
    """
    Writes the actions of every frame down as they come, and keeps what a picture of them shows.

    That grows with what people do, not with the frames: a camera may run for days.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        """Take an open text file for JSON lines, or None."""
        self._file = file
        self._start: int | None = None
        self._last = 0
        self.frames = 0
        self._people: dict[str, list[Stretch]] = {}

    def add(self, stamp: int, actions: Sequence[Action]) -> None:
        """Take the actions of the frame at ``stamp`` nanoseconds."""
        self._start = stamp if self._start is None else self._start
        self.frames += 1
        if self._file:
            self._file.write(frame_line(stamp, actions))
        self._last = max(self._last, stamp - self._start)
        for action in actions:
            extend(self._people.setdefault(action.person_id, []), stamp - self._start, action)

    def plot(self, path: Path, title: str) -> None:
        """Draw a row for every person: grey where unsure, a colour for each action."""
        import matplotlib

        matplotlib.use('Agg')
        from matplotlib import pyplot as plt

        people = self._people
        height = min(0.7 * max(len(people), 1), _MOST_INCHES)
        with plt.rc_context({'font.family': _fonts()}):
            figure, axes = plt.subplots(figsize=(11, 1.6 + height))
            try:
                # From the first frame to the last, also where nobody was there.
                axes.set_xlim(0, max(self._last / NANOSECONDS, _FRAME))
                for row, stretches in enumerate(people.values()):
                    for stretch, following in zip(
                            stretches, [*stretches[1:], None], strict=True):
                        _draw_stretch(axes, row, stretch, following)
                axes.set_yticks(range(len(people)), [_text(name, 20) for name in people])
                axes.set_ylim(max(len(people), 1) - 0.5, -0.5)
                if not people:
                    axes.text(0.5, 0.5, f'nobody was found in {self.frames} frames',
                              transform=axes.transAxes, ha='center', va='center')
                axes.set_xlabel('time (s)')
                axes.set_title(_text(title, 90))
                for side in ('top', 'right', 'left'):
                    axes.spines[side].set_visible(False)
                _explain(axes, [*chain(*people.values())], height)
                for text in axes.findobj(plt.Text):
                    text.set_parse_math(False)  # a dollar is a dollar
                figure.savefig(path, dpi=120, bbox_inches='tight')
            finally:
                plt.close(figure)


_GREYS = {
    Status.BUFFERING: ('buffering', '#e8e8e8'),
    Status.UNKNOWN: ('unknown', '#bdbdbd'),
    Status.LOST: ('lost', '#f7f7f7'),
}
# Fonts with the signs of East Asia, of which one may be installed.
_WIDE_FONTS = (
    'Noto Sans CJK JP', 'Noto Sans CJK SC', 'Source Han Sans', 'WenQuanYi Micro Hei',
    'WenQuanYi Zen Hei', 'IPAexGothic', 'Droid Sans Fallback', 'Unifont', 'Hiragino Sans', 'SimHei',
)


@cache
def _fonts() -> list[str]:
    """Return the fonts to write with, each for what those before it lack."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ['DejaVu Sans', *(name for name in _WIDE_FONTS if name in installed)]


@cache
def _glyphs() -> frozenset[int]:
    """Return the characters that the fonts have."""
    from matplotlib import font_manager

    return frozenset(code for name in _fonts() for code in font_manager.get_font(
        font_manager.findfont(name)).get_charmap())


def _text(text: str, limit: int) -> str:
    """Return what can be written: a sign that no font has, by its number in place of a box."""
    return ''.join(c if ord(c) in _glyphs() else ascii(c)[1:-1] for c in printable(text, limit))


def _draw_stretch(axes: Any, row: int, stretch: Stretch, following: Stretch | None) -> None:
    known = stretch.status is Status.RECOGNIZED
    colour = label_colour(stretch.label) if known else _GREYS[stretch.status][1]
    start = stretch.begin / NANOSECONDS
    length = (stretch.end - stretch.begin) / NANOSECONDS + _FRAME
    # Between two frames nobody is away, however slow the camera is.
    if following and following.begin - stretch.end <= OUT_OF_SIGHT * NANOSECONDS:
        length = (following.begin - stretch.begin) / NANOSECONDS
    axes.broken_barh([(start, length)], (row - 0.36, 0.72), facecolors=[colour])
    if not known:
        return
    mean = stretch.confidence / stretch.frames
    text = axes.text(
        start + length / 2, row, f'{_text(stretch.label, 30)}\n{mean:.0%}', ha='center',
        va='center', fontsize=9, clip_on=True, parse_math=False,
        color='black' if is_light(colour) else 'white')
    # Only where there is room: the legend says the rest.
    written = text.get_window_extent().transformed(axes.transData.inverted())
    if written.width > length or abs(written.height) > 0.9:
        text.remove()


def _explain(axes: Any, stretches: Sequence[Stretch], height: float) -> None:
    """Say below the axes what the colours mean."""
    from matplotlib.patches import Rectangle

    labels = sorted({s.label for s in stretches if s.status is Status.RECOGNIZED})
    shown = {s.status for s in stretches}
    marks = [(_text(label, 30), label_colour(label)) for label in labels[:_MOST_LABELS]] + [
        grey for status, grey in _GREYS.items() if status in shown]
    if marks:
        axes.legend(
            [Rectangle((0, 0), 1, 1, color=colour) for _, colour in marks],
            # Matplotlib before 3.10 leaves out what begins with an underscore.
            [f' {name}' if name.startswith('_') else name for name, _ in marks],
            ncols=6, frameon=False, fontsize=9, loc='upper center',
            bbox_to_anchor=(0.5, -0.55 / (height + 0.5)))
