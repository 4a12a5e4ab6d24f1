"""Faults under load, and whether what was acknowledged is kept: ``python -m benchmarks.chaos``."""
