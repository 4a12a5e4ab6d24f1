"""Inside a process that sends: what was measured since the last look, and how the process itself fared."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import gevent  # type: ignore[import-untyped]

from loadtest.wire.reply import Reply

TICK_S: Final = 0.02


class Recorder:
    """Collects rows; :meth:`take` gives them away as columns of plain numbers and words."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float, float, str, str, Reply]] = []

    def add(self, planned: float, sent: float, ended: float, kind: str, user: str, reply: Reply) -> None:
        """One photo. Seconds from the start of what is judged."""
        self._rows.append((planned, sent, ended, kind, user, reply))

    def take(self) -> dict[str, Any]:
        """The rows since the last call, see :class:`loadtest.samples.Samples`."""
        rows, self._rows = self._rows, []
        planned, sent, ended, kind, user, replies = zip(*rows, strict=True) if rows else ((),) * 6
        stages = dict.fromkeys(name for reply in replies for name in reply.stages)
        return {
            "planned": [round(at, 6) for at in planned],
            "sent": [round(at, 6) for at in sent],
            "ended": [round(at, 6) for at in ended],
            "kind": list(kind),
            "user": list(user),
            "outcome": [reply.outcome for reply in replies],
            "stages": {name: [round(reply.stages.get(name, math.nan), 4) for reply in replies] for name in stages},
        }


class Watch:
    """Lag of the event loop and CPU time of this process, from its making on."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._ticker = gevent.spawn(self._tick)

    def _tick(self) -> None:
        """A greenlet that wakes every TICK_S: how late it does is how late anything here may be."""
        while True:
            due = time.monotonic() + TICK_S
            gevent.sleep(TICK_S)
            self._lags.append(max(time.monotonic() - due, 0.0))

    def take(self) -> dict[str, Any]:
        """``lags``: seconds of each tick since the last call; ``wall_s`` and ``cpu_s`` since the beginning."""
        lags, self._lags = self._lags, []
        return {
            "lags": [round(lag, 6) for lag in lags],
            "wall_s": time.monotonic() - self._began,
            "cpu_s": time.process_time() - self._cpu_began,
        }

    def close(self) -> None:
        """Stop ticking."""
        self._ticker.kill()
