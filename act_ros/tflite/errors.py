"""What goes wrong with a model, whichever runtime serves it."""

from __future__ import annotations

from act_ros.core.text import PrintableError


class ModelError(PrintableError):
    """A model cannot be run: its file, its content or the runtime is at fault."""
