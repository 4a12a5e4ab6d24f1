"""Measurements of the whole stack: each module with a ``main`` is a command, see README.md."""
