"""
The model bundle: a ``.tflite`` file and the ``.yaml`` beside it that says how to use it.

The same network may lie beside them as ``.onnx``, for robots that carry ONNX Runtime.

Everything serving must know travels with the weights and is checked at load; a mismatch is an
error at start, never a wrong answer later.
"""

from __future__ import annotations

import dataclasses
import hashlib
import reprlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from act_ros.actions.features import MPOSE, NORMALISATIONS, SEEN, num_features
from act_ros.core.files import replacing_in
from act_ros.core.skeletons import get_layout
from act_ros.core.text import PrintableError, printable
from act_ros.tflite.runtime import LARGEST

SCHEMA = 1
_LARGEST_CARD = 1 << 20  # bytes
_LONGEST_LABEL = 100


class BundleError(PrintableError):
    """A model bundle that cannot be used; the message says which file, why, and what to do."""


@dataclass(frozen=True)
class Bundle:
    """
    What a model bundle says of itself.

    The network reads features (N, T, F) of ``layout`` at ``frame_rate`` Hz, with T from
    ``min_frames`` to ``num_frames``, of poses smoothed in time by ``pose_smoothing`` seconds, and
    gives logits (N, C) in the order of ``labels``; probabilities are
    ``softmax(logits / temperature)``. An ensemble (``members`` > 1) gives the logarithm of its
    averaged probabilities. Below ``unknown_threshold`` an answer is unknown; windows of
    ``min_frames`` need ``short_threshold`` (0: the same), those between what lies between.
    ``trusted_labels`` are the labels whose results were measured on enough people, ``steady_view``
    those that are not told while hips or knees come into view or leave it; with ``steady_size``
    people are shown to the network as though they neither came nearer nor went away. ``upright``
    says that none of the labels is done lying: of whoever lies none is told. ``sha256`` is of the
    network's file, ``sha256_onnx`` of the ONNX file beside it, if there is one.
    """

    name: str
    labels: tuple[str, ...]
    layout: str
    num_frames: int
    min_frames: int
    frame_rate: float
    temperature: float
    unknown_threshold: float
    members: int = 1
    attention: bool = False
    trusted_labels: tuple[str, ...] = ()
    steady_view: tuple[str, ...] = ()
    steady_size: bool = False
    upright: bool = False
    license: str = ''
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    normalisation: str = MPOSE
    short_threshold: float = 0.0
    pose_smoothing: float = 0.0
    sha256: str = ''
    sha256_onnx: str = ''

    @property
    def num_features(self) -> int:
        """Features F a frame."""
        return num_features(self.layout, self.normalisation)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'labels', tuple(self.labels))
        object.__setattr__(self, 'trusted_labels', tuple(self.trusted_labels))
        object.__setattr__(self, 'steady_view', tuple(self.steady_view))
        get_layout(self.layout)
        problems = [problem for ok, problem in (
            (bool(self.name) and '/' not in self.name, 'name must be a plain file name'),
            (self.normalisation in NORMALISATIONS,
             f'normalisation is {self.normalisation!r}, this version knows '
             f'{", ".join(NORMALISATIONS)}'),
            (len(self.labels) >= 2 and all(isinstance(x, str) and x for x in self.labels),
             'labels must be two or more non-empty names'),
            (all(printable(text, _LONGEST_LABEL) == text for text in (self.name, *self.labels)),
             f'name and labels must be printable, and of at most {_LONGEST_LABEL} characters'),
            (len(set(self.labels)) == len(self.labels), 'labels must differ from one another'),
            (set(self.trusted_labels) <= set(self.labels), 'trusted_labels must be labels'),
            (set(self.steady_view) <= set(self.labels), 'steady_view must be labels'),
            (not self.steady_size or self.normalisation == SEEN,
             f'steady_size needs the normalisation {SEEN}'),
            (2 <= self.min_frames <= self.num_frames <= 1000,
             '2 <= min_frames <= num_frames <= 1000 must hold'),
            (1.0 <= self.frame_rate <= 240.0, 'frame_rate must lie in [1, 240] Hz'),
            (0.0 <= self.pose_smoothing <= 1.0, 'pose_smoothing must lie in [0, 1] s'),
            (0.01 <= self.temperature <= 100.0, 'temperature must lie in [0.01, 100]'),
            (0.0 <= self.unknown_threshold < 1.0, 'unknown_threshold must lie in [0, 1)'),
            (0.0 <= self.short_threshold < 1.0, 'short_threshold must lie in [0, 1)'),
            (self.members >= 1, 'members must be 1 or more'),
        ) if not ok]
        if problems:
            raise ValueError('; '.join(problems))


def load_bundle(path: Path, *, check_sum: bool = True) -> tuple[Bundle, bytes]:
    """
    Read ``<name>.yaml`` and ``<name>.tflite``, or ``<name>.onnx``; ``path`` names one of them.

    :returns: the bundle and the model's bytes, which match its ``sha256``.
    :raises BundleError: on a missing, unreadable or inconsistent file.
    """
    is_onnx = path.suffix == '.onnx'
    card, model = path.with_suffix('.yaml'), path if is_onnx else path.with_suffix('.tflite')
    for file in (card, model):
        if not file.is_file():
            raise BundleError(
                f'model bundle {path}: {file} does not exist; a bundle is a .tflite (or '
                f'.onnx) and a .yaml of the same name side by side')
    for file, largest in ((card, _LARGEST_CARD), (model, LARGEST)):
        if file.stat().st_size > largest:
            raise BundleError(f'{file} has more than {largest} bytes, which none has; is it one?')
    try:
        text, data = card.read_bytes(), model.read_bytes()
    except OSError as error:
        raise BundleError(f'{error.filename} cannot be read: {error.strerror}') from error
    try:
        values = yaml.safe_load(text.decode())
    # A bad date is a ValueError to PyYAML, an empty number an IndexError, and so on.
    except Exception as error:
        raise BundleError(f'{card} is not valid YAML: {error}') from error
    bundle = _parse(card, values)
    if is_onnx:
        bundle = dataclasses.replace(bundle, sha256=bundle.sha256_onnx)
    digest = hashlib.sha256(data).hexdigest()
    if check_sum and digest != bundle.sha256:
        raise BundleError(
            f'{model} does not belong to {card}: its SHA-256 is {digest}, the .yaml says '
            f'{bundle.sha256 or "nothing"}; copy both files again, or export the model anew')
    return bundle, data


def save_bundle(directory: Path, bundle: Bundle, model: bytes, onnx: bytes = b'') -> Path:
    """
    Write the files of a bundle, an ONNX file too if there is one; return the ``.tflite``'s path.

    A bundle is replaced as a whole: what is read meanwhile is the former one, the new one, or
    refused, since the ``.yaml`` is missing.

    :raises OSError: they cannot be written; the former bundle stays.
    """
    bundle = dataclasses.replace(
        bundle, sha256=hashlib.sha256(model).hexdigest(),
        sha256_onnx=hashlib.sha256(onnx).hexdigest() if onnx else '')
    values = {'schema': SCHEMA, **dataclasses.asdict(bundle)}
    for key in ('steady_view', 'steady_size', 'upright', 'sha256_onnx'):
        if not values[key]:
            del values[key]  # so that versions without it can read the bundle
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    with replacing_in(directory, last=f'{bundle.name}.yaml') as folder:
        (folder / f'{bundle.name}.tflite').write_bytes(model)
        if onnx:
            (folder / f'{bundle.name}.onnx').write_bytes(onnx)
        (folder / f'{bundle.name}.yaml').write_text(text, encoding='utf-8')
    return directory / f'{bundle.name}.tflite'


def _brief(value: Any) -> str:
    """Return a value for a message, be it nested a million times over."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of thousands of digits
        return f'such {type(value).__name__}'


def _parse(card: Path, values: Any) -> Bundle:
    if not isinstance(values, dict):
        raise BundleError(f'{card} must be a YAML mapping, not {type(values).__name__}')
    values = dict(values)
    schema = values.pop('schema', None)
    if schema != SCHEMA:
        raise BundleError(f'{card} has schema {_brief(schema)}, this version reads schema {SCHEMA}')
    fields = {f.name: f for f in dataclasses.fields(Bundle)}
    required = {name for name, f in fields.items()
                if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING}
    if missing := sorted((required | {'sha256'}) - set(values)):
        raise BundleError(f'{card} lacks: {", ".join(missing)}')
    if extra := sorted(str(key) for key in set(values) - set(fields)):
        raise BundleError(f'{card} has keys this version does not know: {", ".join(extra)}')
    kinds: dict[str, type | tuple[type, ...]] = {
        'str': str, 'int': int, 'float': (int, float), 'bool': bool,
        'tuple[str, ...]': list, 'dict[str, Any]': dict}
    for key, value in values.items():
        kind = str(fields[key].type)
        if not isinstance(value, kinds[kind]) or isinstance(value, bool) != (kind == 'bool'):
            raise BundleError(f'{card}: {key} must be {kind}, not {_brief(value)}')
    try:
        return Bundle(**values)
    except (TypeError, ValueError) as error:
        raise BundleError(f'{card}: {error}') from error
