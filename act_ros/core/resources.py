"""
Find the files that come with the project, in a source checkout and in an install.

Neither the folder a program is started in nor an environment variable matters: the files are sought
from this module outwards, in ``<checkout>/models`` or ``<prefix>/share/act_ros/models``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from act_ros.core.text import printable

_SUFFIX, _OTHER = '.tflite', '.onnx'


def find_model(name_or_path: str | Path) -> Path:
    """
    Find a model file.

    :param name_or_path: a bare name (``movenet_lightning``, with or without suffix) in the models
        folder, or the path of a file, which is returned as it is. The models folder comes first: a
        file of such a name where the program was started is that file only as ``./name``.
    :raises FileNotFoundError: no such model; the message lists those that are available.
    """
    text = str(name_or_path)
    if not text:
        raise FileNotFoundError('the name of the model is empty')
    path = Path(text).expanduser()
    if len(path.parts) > 1 or os.sep in text:
        if not path.is_file():
            raise FileNotFoundError(f'model {printable(path)} does not exist')
        return path
    file_name = text if text.endswith((_SUFFIX, _OTHER)) else text + _SUFFIX
    for folder in _folders('models'):
        if (folder / file_name).is_file():
            return folder / file_name
    if path.is_file() and path.suffix in (_SUFFIX, _OTHER):
        return path
    available = sorted(
        {file.stem for folder in _folders('models') for file in folder.glob(f'*{_SUFFIX}')}
    )
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
    for folder in _folders(relative.parts[0]):
        path = folder.joinpath(*relative.parts[1:])
        if path.exists():
            return path
    raise FileNotFoundError(f'{relative} is neither in the source checkout nor in the install')


def _folders(name: str) -> Iterator[Path]:
    """
    Existing folders of that name, nearest first.

    Symbolic links are not resolved: a ``colcon build --symlink-install`` links single modules into
    the source, and from there the install would be out of sight.
    """
    for parent in Path(__file__).absolute().parents:
        for folder in (parent / name, parent / 'share' / 'act_ros' / name):
            if folder.is_dir():
                yield folder


def file_checksum(path: Path) -> str:
    """Return a file's SHA-256, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
