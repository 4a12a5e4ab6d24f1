"""The public model: photos in, species out."""

from serving.models.animals import TritonPythonModel  # noqa: F401
