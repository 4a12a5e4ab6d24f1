"""What a release has to pass before it may be published: :func:`rollout.gates.check.check_release`."""

from __future__ import annotations

from rollout.gates.check import Findings, check_release

__all__ = ["Findings", "check_release"]
