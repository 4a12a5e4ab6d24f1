"""The search for a machine's settings: Optuna's TPE over a small grid, hopeless trials given up early.

A trial is judged by its rate in a closed loop, which is cheap and steep; only what is best is then confirmed in an open
loop, within the SLO. Shipped settings are tried first and stay unless something is better by more than noise, when both
are measured again side by side: a machine that others share is another one a minute later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final

from tuning.settings import Settings

BETTER_BY: Final = 0.03
"""Share by which a rate has to beat that of the shipped settings: less is noise."""

RUN_OFF: Final = 2
"""Further trials of the best settings and of the shipped ones, in turn (best, shipped, shipped, best: a drift that is
steady falls on both alike). Their means decide."""

GIVE_UP_BELOW: Final = 0.85
"""Share of the best rate so far below which a trial is not finished."""

GIVE_UP_FROM_S: Final = 2.0
"""The first seconds of a trial say little."""

OPEN_SHARES: Final = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Rates of the confirmation, over the closed loop's; the first that is met counts."""

WORKERS_OF: Final = (1, 2, 4, 8)
PLACES_OF: Final = (1.0, 1.5, 2.0, 3.0)
"""``min_inflight`` over instances, of which one more than an instance is the least."""


class GivenUp(Exception):
    """A trial that is not worth its end; raised by ``worth``'s caller."""


Worth = Callable[[float, float], bool]
"""Takes seconds so far and the rate so far; whether to go on."""

Measure = Callable[[Settings, Worth], float]
"""Closed loop with these settings -> answered photos a second. Raises GivenUp when told so."""

Confirm = Callable[[Settings, float], bool]
"""Open loop at a rate: whether the SLO held."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One that was made; ``rate`` is None if it was given up."""

    settings: Settings
    rate: float | None

    def told(self) -> dict[str, Any]:
        """For the file and for programs."""
        return {"settings": self.settings.model_dump(), "closed_loop_per_s": self.rate}


@dataclass(slots=True)
class Found:
    """The end of a search."""

    settings: Settings
    closed_per_s: float
    shipped_per_s: float
    open_per_s: float | None = None
    """The highest rate of the confirmation that met the SLO; None if none did."""
    trials: list[Trial] = field(default_factory=list)

    @property
    def gain(self) -> float:
        """Over the shipped settings, in the closed loop: 0.1 is a tenth more."""
        return self.closed_per_s / self.shipped_per_s - 1


def instances_of(cores: int) -> tuple[int, ...]:
    """Numbers of instances worth a try."""
    return tuple(sorted({max(1, cores // 2), cores, cores + 1, cores + 2, 2 * cores}))


def workers_of(cores: int) -> tuple[int, ...]:
    """Numbers of gateway processes worth a try."""
    return tuple(number for number in WORKERS_OF if number <= max(2, cores // 2))


def search(
    measure: Measure, confirm: Confirm, shipped: Settings, cores: int, budget_s: float, *, seed: int = 1,
    max_trials: int = 60, clock: Callable[[], float] = time.monotonic, say: Callable[[str], None] = lambda _: None,
) -> Found:  # fmt: skip
    """Look for ``budget_s`` seconds, then hold the best beside the shipped settings, then confirm.

    Until then settings that were tried are not tried again.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=6))
    done: dict[Settings, float | None] = {}
    best = shipped_rate = _measured(measure, shipped, 0.0, say)
    assert best is not None  # nothing to give it up for
    done[shipped] = best
    ends = clock() + budget_s
    asked = 0
    while clock() < ends and len(done) < max_trials and asked < 4 * max_trials:
        asked += 1
        trial = study.ask()
        settings = _suggested(trial, cores)
        if settings not in done:
            done[settings] = _measured(measure, settings, best, say)
        rate = done[settings]
        study.tell(trial, rate, state=None if rate is not None else optuna.trial.TrialState.PRUNED)
        best = max(best, rate or 0.0)
    assert shipped_rate is not None
    chosen = max((one for one in done if done[one] is not None), key=lambda one: done[one] or 0.0)
    rate = done[chosen] or 0.0
    if rate >= shipped_rate * (1 + BETTER_BY):
        say("once more, side by side with the shipped settings:")
        rate, shipped_rate = _run_off(measure, chosen, shipped, say)
    if rate < shipped_rate * (1 + BETTER_BY):
        chosen, rate = shipped, shipped_rate
    trials = [Trial(settings, its) for settings, its in done.items()]
    return Found(chosen, rate, shipped_rate, _confirmed(confirm, chosen, rate, say), trials)


def _run_off(measure: Measure, best: Settings, shipped: Settings, say: Callable[[str], None]) -> tuple[float, float]:
    """Mean rates of both."""
    rates: dict[Settings, list[float]] = {best: [], shipped: []}
    for turn in range(RUN_OFF):
        for settings in (best, shipped) if turn % 2 == 0 else (shipped, best):
            rates[settings].append(_measured(measure, settings, 0.0, say) or 0.0)
    return fmean(rates[best]), fmean(rates[shipped])


def _suggested(trial: Any, cores: int) -> Settings:
    instances = trial.suggest_categorical("instances", instances_of(cores))
    workers = trial.suggest_categorical("workers", workers_of(cores))
    places = trial.suggest_categorical("places", PLACES_OF)
    return Settings(instances=instances, workers=workers, min_inflight=max(instances + 1, round(places * instances)))


def _measured(measure: Measure, settings: Settings, best: float, say: Callable[[str], None]) -> float | None:
    def worth(seconds: float, rate: float) -> bool:
        return seconds < GIVE_UP_FROM_S or rate >= GIVE_UP_BELOW * best

    name = f"{settings.instances} instances, {settings.workers} worker(s), {settings.min_inflight} places"
    say(f"{name} ...")
    try:
        rate = measure(settings, worth)
    except GivenUp:
        say(f"{name}: given up")
        return None
    say(f"{name}: {rate:.1f} photos/s")
    return rate


def _confirmed(confirm: Confirm, settings: Settings, rate: float, say: Callable[[str], None]) -> float | None:
    for share in OPEN_SHARES:
        met = confirm(settings, share * rate)
        say(f"open loop at {share * rate:.1f} photos/s: {'within the SLO' if met else 'missed'}")
        if met:
            return share * rate
    return None
