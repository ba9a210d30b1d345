"""Benchmarks: ``python -m benchmarks.<name>`` prints tables; ``soak`` alone judges them."""
