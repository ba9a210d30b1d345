"""
Start a node: ``python -m act_ros.nodes pose_node --ros-args ...``; the executables come here, too.

Signals are looked after before a node's imports, which take a second or two.
"""

from __future__ import annotations

import sys
from importlib import import_module

from act_ros.ros.signals import watch


def main(module: str) -> None:
    """Run the ``NODE`` of a module of act_ros."""
    watch()
    from act_ros.ros.run import run

    run(import_module(f'act_ros.{module}').NODE)


if __name__ == '__main__':
    main(f'nodes.{sys.argv.pop(1)}')
