"""
Live human action recognition for ROS 2: a ROS-free core, and thin nodes around it.

What the nodes do, in Python:

    from act_ros import ActClassifier, ActionRecognizer, PersonFinder, create_estimator

    finder = PersonFinder(create_estimator())
    recognizer = ActionRecognizer(ActClassifier())
    for stamp, image in frames:  # nanoseconds, ascending; uint8 (H, W, 3) BGR
        persons = finder.update(stamp, image)
        if persons is None:  # it came too late, or its stamp is odd
            continue
        for action in recognizer.update(stamp, persons, finder.layout) or ():
            print(action.person_id, action.status.name, action.label, action.confidence)

Each name is imported when it is first asked for: whoever asks for none, such as a subscriber to the
messages in ``act_ros.msg``, needs nothing that they need. Conditions for behaviour trees are in
`act_ros.behaviours`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from act_ros.actions.classifier import ActClassifier
    from act_ros.actions.features import extract_features
    from act_ros.actions.recognizer import ActionRecognizer
    from act_ros.core.action import Action, Status
    from act_ros.core.person import Person
    from act_ros.persons.finder import PersonFinder
    from act_ros.persons.models import create_estimator

__all__ = [
    'ActClassifier', 'Action', 'ActionRecognizer', 'Person', 'PersonFinder', 'Status',
    'create_estimator', 'extract_features']

# A source checkout and the built messages (act_ros.msg) are then seen as one package.
__path__ = __import__('pkgutil').extend_path(__path__, __name__)

_HOMES = {
    'ActClassifier': 'actions.classifier',
    'Action': 'core.action',
    'ActionRecognizer': 'actions.recognizer',
    'Person': 'core.person',
    'PersonFinder': 'persons.finder',
    'Status': 'core.action',
    'create_estimator': 'persons.models',
    'extract_features': 'actions.features',
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = globals()[name] = getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
