"""Decodes photos on the CPU, shrinking JPEGs while they load."""

from serving.models.preprocess import TritonPythonModel  # noqa: F401
