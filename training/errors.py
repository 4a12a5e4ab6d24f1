"""What can stop a training or an evaluation, as one tree.

TrainingError
├── DataError        the data directory is not what the commands expect
└── CheckpointError  a weight file or checkpoint does not fit the network
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of everything that this package raises on purpose; ``str()`` says what to do next."""


class DataError(TrainingError):
    """The data directory lacks something or holds something unexpected."""


class CheckpointError(TrainingError):
    """Weights do not fit the network that they were given to."""
