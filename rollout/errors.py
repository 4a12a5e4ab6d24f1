"""What can go wrong with releases and rollouts.

RolloutError
├── ReleaseNotFound    no such release in the store
├── ReleaseBroken      its files are not what its manifest says, or it failed a check
├── StateConflict      somebody else changed the rollout first
├── NotAllowed         the act does not fit the rollout's state
└── StoreUnavailable   the model store cannot be reached
"""

from __future__ import annotations


class RolloutError(Exception):
    """The message is for the person at the terminal and says what to do."""


class ReleaseNotFound(RolloutError):
    """There is no such release in the model store."""


class ReleaseBroken(RolloutError):
    """A release is not what its manifest says, or it failed a check; the message names the file or the check."""


class StateConflict(RolloutError):
    """Somebody else changed the rollout in between: read it again."""


class NotAllowed(RolloutError):
    """The act does not fit what the rollout is doing."""


class StoreUnavailable(RolloutError):
    """The model store cannot be reached: check its address and credentials, then try again."""
