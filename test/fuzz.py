"""
Let coverage guide the bytes of a test of test_fuzz.py: ``python test/fuzz.py NAME [-runs=N ...]``.

Needs ``pip install atheris``; the options are libFuzzer's. Ends with the first input that fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1])]
with atheris.instrument_imports(include=['act_ros']):
    import conftest  # noqa: F401 (settings of hypothesis)
    import test_fuzz


def main() -> None:
    """Run the fuzzer."""
    test = getattr(test_fuzz, sys.argv.pop(1))
    atheris.Setup(sys.argv, test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
