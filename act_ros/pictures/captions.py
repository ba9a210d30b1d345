"""How a person is called and coloured wherever one is shown: in images and in RViz alike."""

from __future__ import annotations

from act_ros.core.action import Action, Status

# Colour-blind-safe (Okabe and Ito), as BGR.
_COLOURS = (
    (0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240),
    (178, 114, 0), (0, 94, 213), (167, 121, 204),
)


def colour_of(person_id: str) -> tuple[int, int, int]:
    """Return the BGR colour that belongs to an id: always the same, neighbours differ."""
    digits = ''.join(c for c in person_id if c.isdecimal())[-9:]  # int() has a limit
    number = int(digits) if digits else sum(person_id.encode())
    return _COLOURS[number % len(_COLOURS)]


def caption(action: Action) -> str:
    """Return the line written at a person: ``p1 walk 93%``."""
    words = {Status.BUFFERING: '...', Status.UNKNOWN: '?', Status.LOST: 'lost'}
    if action.status is not Status.RECOGNIZED:
        return f'{action.person_id} {words[action.status]}'
    return f'{action.person_id} {action.label} {action.confidence:.0%}'
