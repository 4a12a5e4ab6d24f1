"""``python -m benchmarks.rollout.story``: new species come into the running service, and go out again.

Under constant load all the way: a data set of new species is added, trained on and exported; the release is
published, shadowed and promoted; the photos that were held back are asked about before and after; and the release
before is put back. Every step is the command that a person would type. The promises:

- no request fails, and the p99 of requests while releases change is at most 1.5 times that just before and after;
- the held-back photos of new species are named (88 % or more), and old species lose at most one point;
- after the rollback the answers are those from before, and all of it takes less than 45 minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import photos as photo_sets
from benchmarks.figures import machine_facts, percentile
from benchmarks.rollout.background import Background
from benchmarks.stack import ROOT, Stack, StackError, running_stack
from training.classes import accepted_leaves
from training.dataset import SPECIES, of_set, read_manifest, trainable
from training.datasets.store import read_dataset
from training.network import load_taxonomy
from training.split import split_photos

NAMED: Final = 0.88
FORGOTTEN: Final = 0.01
SLOWER: Final = 1.5
MINUTES: Final = 45.0
SEED: Final = 7
"""Of the split that the shipped release was trained with: its test photos were never learned from."""

STEADY_S: Final = 20.0
"""Length of each of the stretches that the p99 of a change is held against."""

AT_ONCE: Final = 2
"""Photos asked about at once: the load goes on beside them."""


class StoryError(RuntimeError):
    """A step failed; the message has its last words."""


@dataclass(slots=True)
class Outcome:
    """What came of it. Shares in 0..1, times in seconds unless the name says otherwise."""

    minutes: dict[str, float] = field(default_factory=dict)
    """By step."""
    requests: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    swap_p99_ms: float = 0.0
    steady_p99_ms: float = 0.0
    new_photos: int = 0
    new_before: float = 0.0
    new_after: float = 0.0
    old_photos: int = 0
    old_before: float = 0.0
    old_after: float = 0.0
    same_after_rollback: int = 0
    differ_after_rollback: int = 0
    rollback_s: float = 0.0
    releases: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Promises that were not kept, in words."""
        said = {
            f"{sum(self.failed.values())} of {self.requests} requests failed: {self.failed}": bool(self.failed),
            f"p99 while changing is {self.swap_p99_ms:.0f} ms, steady {self.steady_p99_ms:.0f} ms": self.swap_p99_ms
            > SLOWER * self.steady_p99_ms,
            f"only {self.new_after:.1%} of the new species are named": self.new_after < NAMED,
            f"old species fell from {self.old_before:.1%} to {self.old_after:.1%}": self.old_before - self.old_after
            > FORGOTTEN,
            f"{self.differ_after_rollback} answers differ after the rollback": bool(self.differ_after_rollback),
            f"it took {sum(self.minutes.values()):.0f} minutes": sum(self.minutes.values()) > MINUTES,
        }
        return [text for text, holds in said.items() if holds]


@dataclass(frozen=True, slots=True)
class Asked:
    """A photo and the names that are right for it."""

    photo: bytes
    right: frozenset[str]
    """Keys of leaves for new species, common names for old ones."""


class Story:
    """One run in ``folder``, with everything that it makes."""

    def __init__(self, stack: Stack, options: argparse.Namespace, console: Console) -> None:
        self._stack = stack
        self._options = options
        self._console = console
        self._folder: Path = options.out
        self._store = stack.data / "models"
        self.outcome = Outcome()

    def tell(self, load: Background) -> None:
        """From the data to the rollback."""
        data: Path = self._options.data
        added = self._step("data", "data", "add", self._options.new, "--name", "new-species", "--species",
                           self._options.species, "--datasets", self._folder / "datasets")  # fmt: skip
        version = Path(added["folder"])
        training, release = self._folder / "training", self._folder / "release"
        self._step("train", "train", "--data", version, "--add-species", "--old", data, "--out", training,
                   *self._options.train, nice=True)  # fmt: skip
        self._step("export", "export", "extend", "--checkpoint", training / "checkpoint.pt",
                   "--photos", version, "--photos", data, "--dataset", version, "--max-disagreement", "0.4",
                   "--out", release, "--name", "new-species", nice=True)  # fmt: skip
        published = self._step("publish", "releases", "publish", release, "--store", self._store, nice=True)
        new, old = new_photos(version), old_photos(data, self._options.old_photos)
        self.outcome.new_photos, self.outcome.old_photos = len(new), len(old)
        before = self._ask([*new, *old])
        self.outcome.releases.append(before[0]["release"])
        time.sleep(STEADY_S)
        changes = [time.monotonic()]
        self._step("shadow", "releases", "shadow", published["release"], "--share", "0.2", "--store", self._store)
        self._await_compared(self._options.compared)
        self._step("promote", "releases", "promote", "--store", self._store)
        changes.append(time.monotonic())
        time.sleep(STEADY_S)
        after = self._ask([*new, *old])
        self.outcome.releases.append(after[0]["release"])
        began = time.monotonic()
        self._step("rollback", "releases", "rollback", "--reason", "the story ends", "--store", self._store)
        self._ask_until(new[:1], before[0]["release"])
        self.outcome.rollback_s = time.monotonic() - began
        again = self._ask([*new, *old])
        self.outcome.releases.append(again[0]["release"])
        self._judge(load, changes, new, old, before, after, again)

    def _judge(
        self, load: Background, changes: Sequence[float], new: Sequence[Asked], old: Sequence[Asked],
        before: Sequence[Any], after: Sequence[Any], again: Sequence[Any],
    ) -> None:  # fmt: skip
        said, samples = self.outcome, load.samples()
        said.requests = len(samples)
        for sample in samples:
            if sample.code != "OK":
                said.failed[sample.reason or sample.code] = said.failed.get(sample.reason or sample.code, 0) + 1
        start, end = changes
        swap = [sample.seconds for sample in samples if start <= sample.planned < end]
        steady = [
            sample.seconds
            for sample in samples
            if start - STEADY_S <= sample.planned < start or end <= sample.planned < end + STEADY_S
        ]
        said.swap_p99_ms, said.steady_p99_ms = 1e3 * percentile(swap, 99), 1e3 * percentile(steady, 99)
        count = len(new)
        said.new_before, said.new_after = (share(new, answers[:count], "key") for answers in (before, after))
        said.old_before, said.old_after = (share(old, answers[count:], "common_name") for answers in (before, after))
        same = sum(first["species"] == last["species"] for first, last in zip(before, again, strict=True))
        said.same_after_rollback, said.differ_after_rollback = same, len(before) - same

    def _step(self, name: str, *arguments: object, nice: bool = False) -> Any:
        """Run one command of ``bestiary``; its JSON. ``nice``: work that may wait for photos. Raises StoryError."""
        command = [sys.executable, "-m", "cli", *map(str, arguments), "--json"]
        began = time.monotonic()
        done = subprocess.run(
            ["nice", "-n", "19", *command] if nice else command, cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "BESTIARY_MODEL_STORE": str(self._store)},
        )  # fmt: skip
        minutes = (time.monotonic() - began) / 60
        self.outcome.minutes[name] = self.outcome.minutes.get(name, 0) + minutes
        if done.returncode:
            raise StoryError(f"bestiary {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr[-2000:]}")
        self._console.print(f"{name}: {minutes:.1f} min", highlight=False)
        return json.loads(done.stdout)

    def _await_compared(self, wanted: int) -> None:
        """Until so many photos were answered by both releases."""
        deadline = time.monotonic() + 300
        tried = False
        while time.monotonic() < deadline:
            status = self._seen()
            if tried and not status["challenger"]:
                raise StoryError(f"The challenger was refused: {self._status()['state']['refused']}")
            tried |= bool(status["challenger"])
            if status["tally"]["compared"] >= wanted:
                return
            time.sleep(1)
        raise StoryError(f"Fewer than {wanted} photos were compared in five minutes.")

    def _seen(self) -> Any:
        """What the gateway says of the releases: a command a second would be load of its own."""
        answer = httpx.get(f"http://127.0.0.1:{self._stack.http_port}/v1/releases", timeout=10, trust_env=False)
        return answer.raise_for_status().json()

    def _status(self) -> Any:
        command = [sys.executable, "-m", "cli", "releases", "status", "--store", str(self._store), "--json"]
        return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    def _ask(self, asked: Sequence[Asked]) -> list[Any]:
        """Every photo's record."""
        return asyncio.run(classify(f"http://127.0.0.1:{self._stack.http_port}", [one.photo for one in asked]))

    def _ask_until(self, asked: Sequence[Asked], release: str) -> list[Any]:
        while True:
            answers = self._ask(asked)
            if all(answer["release"] == release for answer in answers):
                return answers


async def classify(url: str, photos: Sequence[bytes]) -> list[Any]:
    """The records of photos, a few at once; a refusal is tried again after its hint."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(client: httpx.AsyncClient, photo: bytes) -> Any:
        async with room:
            while True:
                answer = await client.post(
                    "/v1/classifications", params={"tasks": "species", "priority": "batch"}, content=photo
                )
                if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    answer.raise_for_status()
                    return answer.json()
                await asyncio.sleep(float(answer.headers["retry-after-ms"]) / 1e3)

    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        return list(await asyncio.gather(*(one(client, photo) for photo in photos)))


def new_photos(version: Path) -> list[Asked]:
    """Held-back photos of the species that the data set brings."""
    dataset = read_dataset(version)
    new = {row.key for row in dataset.species}
    return [
        Asked((dataset.root / photo.path).read_bytes(), frozenset({photo.label}))
        for photo in dataset.photos
        if photo.part == "test" and photo.label in new
    ]


def old_photos(data: Path, most: int) -> list[Asked]:
    """Photos of old species that were held back when the shipped release was trained, spread over the species."""
    taxonomy = load_taxonomy()
    test = of_set(split_photos(data, trainable(read_manifest(data)), SEED).test, SPECIES)
    return [
        Asked(
            (data / photo.path).read_bytes(),
            frozenset(taxonomy[leaf].common_name for leaf in accepted_leaves(photo, taxonomy)),
        )
        for photo in test[:: max(1, round(len(test) / most))]
    ]


def share(asked: Sequence[Asked], answers: Sequence[Any], name: str) -> float:
    """Of photos whose best species is right."""
    right = sum(
        bool(answer["species"]) and answer["species"][0][name] in one.right
        for one, answer in zip(asked, answers, strict=True)
    )
    return right / len(asked) if asked else 0.0


def table(outcome: Outcome) -> Table:
    """What came of it, for a reader."""
    shown = Table("what", "figure", "promise")
    rows = [
        ("requests beside it", f"{outcome.requests}, {sum(outcome.failed.values())} failed", "0 failed"),
        ("p99 while releases change", f"{outcome.swap_p99_ms:.0f} ms", f"at most {SLOWER:g}x the steady one"),
        ("steady p99 just before and after", f"{outcome.steady_p99_ms:.0f} ms", ""),
        (f"new species named, {outcome.new_photos} photos",
         f"{outcome.new_before:.1%} → {outcome.new_after:.1%}", f"{NAMED:.0%} or more"),
        (f"old species named, {outcome.old_photos} photos",
         f"{outcome.old_before:.1%} → {outcome.old_after:.1%}", "a point less at most"),
        ("answers as before after the rollback",
         f"{outcome.same_after_rollback} of {outcome.same_after_rollback + outcome.differ_after_rollback}", "all"),
        ("rollback, command included", f"{outcome.rollback_s:.1f} s", "seconds"),
        ("all of it", f"{sum(outcome.minutes.values()):.1f} min", f"less than {MINUTES:.0f} min"),
    ]  # fmt: skip
    for row in rows:
        shown.add_row(*row)
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 every promise is kept, 1 one is broken or a step failed."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130)
    options.out.mkdir(parents=True, exist_ok=True)
    machine = machine_facts()
    try:
        with running_stack(options.out) as stack:
            story = Story(stack, options, console)
            with Background(stack.gateway_grpc, photo_sets.load(None).photos, options.rate, alike=True) as load:
                story.tell(load)
    except (StoryError, StackError) as error:
        print(f"story: {error}", file=sys.stderr)
        return 1
    outcome = story.outcome
    console.print(table(outcome))
    for text in outcome.broken:
        console.print(f"NOT kept: {text}", highlight=False)
    facts = {"machine": machine, "rate_per_s": options.rate, "broken": outcome.broken, **asdict(outcome)}
    (options.out / "story.json").write_text(json.dumps(facts, indent=2) + "\n")
    return 1 if outcome.broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout.story", description=__doc__)
    data = ROOT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="photos of the species that are known")
    parser.add_argument("--new", type=Path, default=data / "new_species", help="a folder a new species")
    parser.add_argument(
        "--species", type=Path, default=ROOT / "docs" / "examples" / "new_species.csv", help="their lineages"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "story", metavar="DIR")
    parser.add_argument("--rate", type=float, default=10.0, help="photos a second beside it (default 10)")
    parser.add_argument("--compared", type=int, default=60, help="photos that both releases answer before promotion")
    parser.add_argument("--old-photos", type=int, default=400, help="photos of old species to ask about, at most")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="more options of `bestiary train`")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
