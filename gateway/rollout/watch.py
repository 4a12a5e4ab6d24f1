"""What one gateway saw of a release since it entered its stage, beside the release that it is measured by."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from contract.answer import Answer
from contract.options import Task
from contract.priority import Priority
from contract.record import Verdict
from contract.rollout import Disagreement, Tally

RECENT: Final = 256
"""Photos of each task whose times are remembered."""

EXAMPLES: Final = 20
"""Disagreements that are kept with their photos."""

PAIRS: Final = 200
"""Different pairs of names that are counted; the rest goes under :data:`OTHERS`."""

OTHERS: Final = "others"

SHADOW: Final = "shadow"
CANARY: Final = "canary"
PROBATION: Final = "probation"
LOAD: Final = "load"


@dataclass(frozen=True, slots=True)
class Key:
    """One stay of a release in one stage; a later stay starts with nothing held against it."""

    release: str
    stage: str
    since: str


class Pace:
    """How fast one release answered lately, by task, and how many interactive photos it was too slow for.

    Decoding is left out: it is as long as the photo is large, and releases have different callers in a canary.
    How many photos were on their way at once is kept beside: photos of a batch take as long as all of it.
    """

    def __init__(self, slo_s: float) -> None:
        self._slo_s = slo_s
        self.model_ms: dict[Task, deque[float]] = {}
        self.late: deque[bool] = deque(maxlen=4 * RECENT)
        self.under_way = 0
        self._company: deque[int] = deque(maxlen=RECENT)

    @contextmanager
    def asking(self) -> Iterator[int]:
        """While a photo is on its way; how many are, this one included."""
        self.under_way += 1
        try:
            yield self.under_way
        finally:
            self.under_way -= 1

    def add(self, answer: Answer, seconds: float, task: Task, priority: Priority, company: int) -> None:
        """One answered photo, ``seconds`` in the model server and on the way there and back, with ``company``."""
        decode_ms = answer.timings_ms["decode"]
        self.add_ms(answer.timings_ms["total"] - decode_ms, task, company)
        if priority is Priority.INTERACTIVE:
            self.late.append(seconds - decode_ms / 1e3 > self._slo_s)

    def add_ms(self, model_ms: float, task: Task, company: int = 1) -> None:
        """One photo's time in the models alone."""
        self._company.append(company)
        times = self.model_ms.get(task)
        if times is None:
            times = self.model_ms[task] = deque(maxlen=RECENT)
        times.append(model_ms)

    @property
    def company(self) -> float:
        """Photos that were on their way at once, the mean."""
        return sum(self._company) / len(self._company) if self._company else 1.0

    @property
    def median_ms(self) -> float | None:
        """Of all recent photos, whatever their task."""
        times = [each for some in self.model_ms.values() for each in some]
        return statistics.median(times) if times else None


@dataclass(slots=True, eq=False)
class Watch:
    """Counts of one stay. In the stage ``load`` only the champion's pace is kept, to measure by later."""

    key: Key
    own: Pace
    other: Pace
    photos: int = 0
    errors: int = 0
    compared: int = 0
    disagreed: int = 0
    pairs: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: deque[Disagreement] = field(default_factory=lambda: deque(maxlen=EXAMPLES))

    def failed(self) -> None:
        """The release failed on a photo that another release answered."""
        self.photos += 1
        self.errors += 1

    def answered(self, answer: Answer, seconds: float, task: Task, priority: Priority, company: int) -> None:
        """The release answered a caller."""
        self.photos += 1
        self.own.add(answer, seconds, task, priority, company)

    def shadowed(self, champion: Answer, challenger: Answer, task: Task, company: tuple[int, int]) -> None:
        """Both releases answered the same photo, each with its ``company``."""
        self.photos += 1
        self.other.add_ms(champion.timings_ms["total"], task, company[0])
        self.own.add_ms(challenger.timings_ms["total"], task, company[1])

    def agreed(self) -> None:
        """Two answers were compared and say the same."""
        self.compared += 1

    def differed(self, example: Disagreement) -> None:
        """Two answers were compared and do not say the same."""
        self.compared += 1
        self.disagreed += 1
        self.examples.append(example)
        champion, challenger = example.champion, example.challenger
        if challenger not in self.pairs.get(champion, {}) and sum(map(len, self.pairs.values())) >= PAIRS:
            champion = challenger = OTHERS
        row = self.pairs.setdefault(champion, {})
        row[challenger] = row.get(challenger, 0) + 1

    def tally(self) -> Tally:
        """As it is reported."""
        return Tally(
            photos=self.photos,
            errors=self.errors,
            compared=self.compared,
            disagreed=self.disagreed,
            median_ms=_rounded(self.own.median_ms),
            champion_median_ms=_rounded(self.other.median_ms),
            pairs={name: dict(row) for name, row in self.pairs.items()},
        )


def name_of(answer: Answer) -> str:
    """What an answer says of the whole photo: a common name, an ancestor, ``unknown``, or ``empty``."""
    return answer.taxon.common_name if answer.taxon is not None else Verdict.EMPTY.value


def is_sure(answer: Answer) -> bool:
    """Whether an answer commits itself: to a species, or to there being nothing."""
    return answer.verdict is Verdict.EMPTY or (answer.taxon is not None and answer.taxon.rank == "species")


def agree(champion: Answer, challenger: Answer) -> bool:
    """Whether the challenger says what a sure champion says. An ancestor is no contradiction if the species that it is
    likeliest to be is the champion's; ``unknown`` is one."""
    said = name_of(champion)
    if name_of(challenger) == said:
        return True
    taxon = challenger.taxon
    if taxon is None or taxon.rank in ("species", "unknown") or not challenger.species:
        return False
    return challenger.species[0].common_name == said


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)
