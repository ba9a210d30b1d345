"""
Start a node: ``python -m act_ros.nodes pose_node --ros-args ...``; the executables come here, too.

Signals are looked after before a node's imports, which take a second or two.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from act_ros.ros.signals import watch


def main(module: str) -> None:
    """Run the ``NODE`` of a module of act_ros."""
    watch()
    from act_ros.ros.run import run

    found = import_module(f'act_ros.{module}')
    run(found.NODE, found.__doc__)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        prog='act_ros.nodes', description='Start a node.')
    parser.add_argument('node', choices=sorted(
        path.stem for path in Path(__file__).parent.glob('[a-z]*.py')))
    node = parser.parse_args(sys.argv[1:2]).node
    del sys.argv[0]  # the rest is for the node
    main(f'nodes.{node}')
