"""Captions and colours of persons and actions, the same wherever they are shown."""

from __future__ import annotations

from zlib import crc32

from act_ros.core.action import Action, Status
from act_ros.core.place import Place, PlaceKind
from act_ros.core.text import printable

# Colour-blind-safe (Okabe and Ito), as BGR.
_COLOURS = (
    (0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240),
    (178, 114, 0), (0, 94, 213), (167, 121, 204),
)
# Colour-blind-safe first (Okabe and Ito), then tones apart from them.
_LABEL_COLOURS = (
    '#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8c6bb1', '#b8a900',
    '#4d9221', '#e7298a', '#80603f', '#1fa3a3', '#a6761d', '#6a7fdb', '#7a0019', '#5f9ea0',
    '#b15928', '#7fbc41', '#9e4a6b', '#31688e', '#4a1486',
)
# The labels of the models that come with this package, which get a colour of their own each.
_LABELS = (
    'standing', 'walk', 'wave1', 'sit-down', 'get-up', 'turn', 'check-watch', 'cross-arms',
    'scratch-head', 'box', 'kick', 'point', 'pick-up', 'bend', 'hands-clap', 'wave2', 'jog',
    'jump', 'pjump', 'run', 'sitting',
)
_WORDS = {Status.BUFFERING: '...', Status.UNKNOWN: '?', Status.LOST: 'lost'}
_LONGEST = 40  # characters of an id or a label


def colour_of(person_id: str) -> tuple[int, int, int]:
    """Return the BGR colour that belongs to an id: always the same, neighbours differ."""
    digits = ''.join(c for c in person_id if c.isdecimal())[-9:]  # int() has a limit
    number = int(digits) if digits else sum(person_id.encode(errors='surrogatepass'))
    return _COLOURS[number % len(_COLOURS)]


def label_colour(label: str) -> str:
    """
    Return the colour that belongs to a label, as ``#rrggbb``: the same in every picture.

    The labels of our own models differ from each other; others may share a colour.
    """
    number = _LABELS.index(label) if label in _LABELS else crc32(
        label.encode(errors='surrogatepass'))
    return _LABEL_COLOURS[number % len(_LABEL_COLOURS)]


def is_light(colour: str) -> bool:
    """Whether black is easier to read than white on a colour, ``#rrggbb``."""
    # Relative luminance as WCAG has it; with 0.179 black and white have the same contrast.
    red, green, blue = ((value / 255) ** 2.2 for value in bytes.fromhex(colour[1:]))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179


def caption(action: Action) -> str:
    """Return the line written at a person: ``p1 walk 93% 2.9 m``."""
    person = printable(action.person_id, _LONGEST)
    doing = _WORDS.get(
        action.status, f'{printable(action.label, _LONGEST)} {action.confidence:.0%}')
    return ' '.join(filter(None, (person, doing, distance_of(action.place))))


def distance_of(place: Place) -> str:
    """
    Return a distance in metres, with a ~ where it is estimated; nothing where it is unknown.

    Of one that may be a metre wrong, tenths are not told.
    """
    if place.kind < PlaceKind.ESTIMATED:
        return ''
    digits = 0 if place.distance_error >= 1 else 1
    return f'{"" if place.kind is PlaceKind.MEASURED else "~"}{place.distance:.{digits}f} m'
