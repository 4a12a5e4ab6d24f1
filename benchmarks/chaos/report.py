"""What each fault did to the callers, in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.faults import Fault
from benchmarks.chaos.ledger import UNTYPED, Call, Kept
from benchmarks.figures import percentile

PHOTO_CODES: Final = frozenset({"not_an_image"})
"""How the bad photos of the load are refused: not a failure."""


@dataclass(frozen=True, slots=True)
class Struck:
    """One fault. Seconds; ``served_s`` is from lifting to the first photo answered after the last failure, 0 if no
    call failed; ``whole_s`` is from lifting until all that was acknowledged was in the store."""

    name: str
    served_s: float
    whole_s: float
    failures: dict[str, int]
    slowest_failure_s: float
    answered: int

    def as_json(self) -> dict[str, Any]:
        """By field."""
        return asdict(self)


def struck_of(
    calls: Sequence[Call], fault: Fault, injected: float, lifted: float, whole_s: float, until: float
) -> Struck:
    """One fault's effects, from the calls that ended between it and the next one."""
    mine = [call for call in calls if injected <= call.ended < until]
    failed = [call for call in mine if not call.ok and call.code not in PHOTO_CODES]
    served = 0.0
    if failed:
        last = max(call.ended for call in failed)
        again = min((call.ended for call in mine if call.ok and call.ended > last), default=last)
        served = max(0.0, again - lifted)
    return Struck(
        fault.name, served, whole_s, dict(Counter(call.code for call in failed)),
        max((call.ended - call.began for call in failed), default=0.0), sum(call.ok for call in mine),
    )  # fmt: skip


def print_report(
    console: Console, machine: dict[str, Any], struck: Sequence[Struck], calls: Sequence[Call], verdict: Kept
) -> bool:
    """Print a row for each kind of fault and the verdict. Returns whether every failure was typed."""
    table = Table(title="Faults", title_justify="left")
    for name in ("fault", "times", "served again s, median / worst", "whole again s, median / worst",
                 "slowest failing call s", "failures by code"):  # fmt: skip
        table.add_column(name, justify="left" if name in ("fault", "failures by code") else "right")
    for kind in dict.fromkeys(one.name for one in struck):
        ones = [one for one in struck if one.name == kind]
        codes = sum((Counter(one.failures) for one in ones), Counter())
        table.add_row(
            kind, str(len(ones)), _spread([one.served_s for one in ones]), _spread([one.whole_s for one in ones]),
            f"{max(one.slowest_failure_s for one in ones):.1f}",
            ", ".join(f"{code} {times}" for code, times in codes.most_common()) or "none",
        )  # fmt: skip
    console.print(f"\n{machine}", highlight=False)
    console.print(table)
    untyped = sum(call.code == UNTYPED for call in calls)
    reads = [call for call in calls if call.read]
    lost_reads = sum(call.code == "not_found" for call in reads)
    console.print(
        f"{len(struck)} faults. {verdict.acknowledged} photos acknowledged (durable): {len(verdict.missing)} records "
        f"missing, {len(verdict.doubled)} doubled, {len(verdict.changed)} about another photo; "
        f"{verdict.unasked} more are stored whose caller got no answer.\n"
        f"{len(reads)} reads of acknowledged records, {lost_reads} found nothing. "
        f"{untyped} failures untyped.",
        highlight=False,
    )
    return untyped == 0 and lost_reads == 0


def _spread(seconds: Sequence[float]) -> str:
    return f"{percentile(seconds, 50):.1f} / {max(seconds):.1f}"
