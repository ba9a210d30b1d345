"""
Find the files that come with the project, in a source checkout and in an install.

Neither the folder a program is started in nor an environment variable matters: the files are beside
this package, in ``<checkout>/models``, or in ``<prefix>/share/act_ros/models``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from act_ros.core.text import printable

_SUFFIX, _OTHER = '.tflite', '.onnx'
_DEPTH = 4  # folders from a prefix to Python's packages: local/lib/python3.12/dist-packages


def find_model(
    name_or_path: str | Path, *, is_bundle: bool = False, modes: Iterable[str] = (),
) -> Path:
    """
    Find a model file.

    :param name_or_path: a bare name (``movenet_lightning``, with or without suffix) in the models
        folder, or the path of a file, which is returned as it is. The models folder comes first: a
        file of such a name where the program was started is that file only as ``./name``.
    :param is_bundle: whether it should have a ``.yaml`` beside it, or be one of those that have
        none: the former are action models, the latter pose networks.
    :param modes: what else the caller knows by name.
    :raises FileNotFoundError: no such model; the message lists those of its kind, and ``modes``.
    """
    text = str(name_or_path)
    if not text:
        raise FileNotFoundError('the name of the model is empty')
    path = Path(os.path.expanduser(text))  # which leaves a ~ of nobody's as it is
    if len(path.parts) > 1 or os.sep in text:
        if not path.is_file():
            raise FileNotFoundError(f'model {printable(path)} does not exist')
        return path
    file_name = text if text.endswith((_SUFFIX, _OTHER)) else text + _SUFFIX
    folder = _folder('models')
    if (folder / file_name).is_file():
        return folder / file_name
    if path.is_file() and path.suffix in (_SUFFIX, _OTHER):
        return path
    available = [*modes, *sorted(
        file.name.removesuffix(_SUFFIX) for file in folder.glob('*')
        if file.suffix in (_SUFFIX, _OTHER) and file.with_suffix('.yaml').is_file() == is_bundle)]
    raise FileNotFoundError(
        f'no model {printable(text)!r} in the models folder; available: '
        f'{", ".join(available) or "none"}. Give one of these names or the path of a file'
    )


def find_resource(relative: str | Path) -> Path:
    """
    Find a file that comes with the project, such as ``media/demo.mp4`` or ``config/act.yaml``.

    :raises FileNotFoundError: there is no such file.
    """
    relative = Path(relative)
    path = _folder(relative.parts[0]).joinpath(*relative.parts[1:])
    if not path.exists():
        raise FileNotFoundError(f'{relative} is neither in the source checkout nor in the install')
    return path


def _folder(name: str) -> Path:
    """
    Return the folder of that name in the checkout, or in the install.

    Symbolic links are not resolved: a ``colcon build --symlink-install`` links single modules into
    the source, and from there the install would be out of sight.
    """
    home = Path(__file__).absolute().parents[2]
    if not (home / 'package.xml').is_file():
        shares = [folder / 'share' / 'act_ros' for folder in (home, *home.parents[:_DEPTH])]
        home = next((share for share in shares if share.is_dir()), home)
    return home / name


def file_checksum(path: Path) -> str:
    """Return a file's SHA-256, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
