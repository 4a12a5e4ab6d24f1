"""What can stop an export, as one tree.

ExportError
├── DaliError         DALI is missing, or its pipeline gives other answers
├── ParityError       the exported graph does not answer as the network that it came from
├── RepositoryError   the release cannot be written where it should go
└── TensorRTError     an engine cannot be built here
"""

from __future__ import annotations


class ExportError(Exception):
    """Base of everything that this package raises on purpose; ``str()`` says what to do next."""


class ParityError(ExportError):
    """The exported graph differs from the network by more than the gate lets through."""


class RepositoryError(ExportError):
    """The target directory holds something that is no release, or an input of the release is missing."""


class TensorRTError(ExportError):
    """TensorRT is not installed here or refuses the network."""


class DaliError(ExportError):
    """DALI is not installed, or its pipeline gives other answers than the shrink-on-load decoder."""
