"""The public model: photos in, animals out."""

from serving.models.animals import TritonPythonModel  # noqa: F401
