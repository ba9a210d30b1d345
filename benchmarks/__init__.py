"""Benchmarks: ``python -m benchmarks.<name> [--json FILE]`` prints a table; nothing is asserted."""
