"""``bestiary releases``: publish a release, try it beside the one that answers, promote it, go back."""

from __future__ import annotations

import asyncio
import getpass
import inspect
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from cli import releases_registry
from cli.options import FAILED, complain
from cli.releases_view import print_overview, state_line
from cli.render import print_table, progress
from contract.rollout import RolloutState, Stage
from gateway.audit import audit, open_audit_log
from rollout.errors import ReleaseBroken, RolloutError, StoreUnavailable
from rollout.operator import Operator, Progress
from rollout.ports import ModelStore
from rollout.store import open_model_store
from rollout.transitions import PROBATION_S

app = typer.Typer(
    help="Releases: publish one, try it beside the one that answers, promote it, go back.\n\n"
    "Example: bestiary releases shadow 3 && bestiary releases promote",
    no_args_is_help=True,
)

BROKEN: Final = 3
UNAVAILABLE: Final = 4

_T = TypeVar("_T")

Where = Annotated[
    str,
    typer.Option(
        "--store", envvar="BESTIARY_MODEL_STORE", metavar="ADDRESS",
        help="Model store: a directory, or the https address of a storage account.",
    ),
]  # fmt: skip
DEFAULT_STORE: Final = "var/models"
Named = Annotated[str, typer.Argument(metavar="RELEASE", help="Its name, identity, or the beginning of one.")]
Share = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share, 0 to 1.")]
Again = Annotated[bool, typer.Option("--again", help="Also if it was refused before.")]
Reason = Annotated[str, typer.Option(help="For the history.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]

_CODES: Final = """Exit codes:
0 done
1 not allowed as things are
2 wrong usage
3 the release is broken or was refused
4 the model store cannot be reached"""


def _documented(command: Callable[..., None]) -> Callable[..., None]:
    """The exit codes, which are the same for all, under the command's own help."""
    command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{_CODES}"
    return command


def _act(where: str, action: str, work: Callable[[Operator, ModelStore], Awaitable[_T]]) -> _T:
    """Do ``work`` on the store; a RolloutError is one sentence and an exit code."""

    async def run() -> _T:
        store = open_model_store(where)
        try:
            return await work(Operator(store, getpass.getuser()), store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except RolloutError as error:
        complain(f"bestiary releases {action}: {error}")
        code = BROKEN if isinstance(error, ReleaseBroken) else FAILED
        raise typer.Exit(UNAVAILABLE if isinstance(error, StoreUnavailable) else code) from None


def _audited(action: str, release: str) -> None:
    open_audit_log(None).close()
    audit(getpass.getuser(), f"release.{action}", release)


def _say(state: RolloutState, as_json: bool) -> None:
    releases_registry.changed(state)
    typer.echo(state.model_dump_json() if as_json else state_line(state))


@contextmanager
def _progress(as_json: bool) -> Iterator[Progress]:
    """A bar on standard error while replicas load, on a terminal."""
    with progress(not as_json and sys.stderr.isatty()) as bar:
        task = bar.add_task("model servers that have it", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


@app.command("list")
@_documented
def list_releases(where: Where = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show the kept releases and what each is in the rollout.

    Example: bestiary releases list
    """

    async def work(operator: Operator, store: ModelStore) -> list[dict[str, str]]:
        read = await store.state()
        state = read.state if read else None
        rows = []
        for release in await store.releases():
            manifest = await store.manifest(release)
            rows.append({"release": release, "created": manifest.created, "role": _role(release, state)})
        return rows

    rows = _act(where, "list", work)
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        print_table(("release", "created", "role"), [list(row.values()) for row in rows])


@app.command()
@_documented
def publish(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A model repository with a release.")],
    where: Where = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Check a release and keep it in the model store; nothing that answers photos changes.

    Its files, networks and code are tried in a process of their own, beside
    the release that answers. The first release of an empty store answers.

    Example: bestiary releases publish build/release-3
    """

    async def work(operator: Operator, store: ModelStore) -> dict[str, Any]:
        from rollout.gates import check_release  # decoders and networks, which no other command needs

        read = await store.state()
        with tempfile.TemporaryDirectory(prefix="bestiary-champion-") as scratch:
            champion = None
            if read is not None:
                champion = Path(scratch) / "champion"
                await store.fetch(read.state.champion, champion)
            findings = await asyncio.to_thread(check_release, folder, champion=champion)
        release = await store.put(folder)
        return {**asdict(findings), "release": release, "answers": await operator.seed(release)}

    found = _act(where, "publish", work)
    _audited("publish", found["release"])
    releases_registry.published(found["release"], where)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{found['release']} is published: {found['photos']} photos, {found['median_ms']:.0f} ms each here.")
    for what in ("gained", "lost", "notes"):
        if found[what]:
            typer.echo(f"  {what}: {', '.join(found[what])}")
    if not found["answers"]:
        typer.echo(f"Next: bestiary releases shadow {found['release']}")


@app.command()
@_documented
def shadow(
    release: Named, share: Share = 1.0, where: Where = DEFAULT_STORE, again: Again = False, as_json: AsJson = False
) -> None:
    """Load a release beside the one that answers and show it a share of the photos too; nobody hears what it says.

    Waits until every model server has loaded it. One that cannot load it
    says why; the release is refused then, and nothing else changes.

    Example: bestiary releases shadow 3 --share 0.5
    """
    _stage(release, Stage.SHADOW, share, where, again, as_json)


@app.command()
@_documented
def canary(
    release: Named, share: Share = 0.05, where: Where = DEFAULT_STORE, again: Again = False, as_json: AsJson = False
) -> None:
    """Load a release if it is not, and let it answer a share of the callers.

    Example: bestiary releases canary 3 --share 0.1
    """
    _stage(release, Stage.CANARY, share, where, again, as_json)


def _stage(release: str, stage: Stage, share: float, where: str, again: bool, as_json: bool) -> None:
    with _progress(as_json) as shown:

        async def work(operator: Operator, store: ModelStore) -> RolloutState:
            found = await operator.find(release)
            return await operator.stage(found, stage, share, again=again, progress=shown)

        state = _act(where, stage.value, work)
    _audited(stage.value, state.challenger.release if state.challenger else release)
    _say(state, as_json)


@app.command()
@_documented
def promote(
    release: Annotated[str | None, typer.Argument(metavar="[RELEASE]", help="Else the challenger.")] = None,
    probation: Annotated[
        float, typer.Option(min=0, help="Seconds in which it is rolled back by itself.")
    ] = PROBATION_S,
    where: Where = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Let the challenger answer all callers, all its models at once; the release before stays loaded.

    Example: bestiary releases promote
    """

    async def work(operator: Operator, store: ModelStore) -> RolloutState:
        return await operator.promote(await operator.find(release) if release else None, probation)

    state = _act(where, "promote", work)
    _audited("promote", state.champion)
    _say(state, as_json)


@app.command()
@_documented
def rollback(
    to: Annotated[str | None, typer.Option(metavar="RELEASE", help="Any kept release; else the one before.")] = None,
    reason: Reason = "",
    where: Where = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Let the release before answer again: at once, as it is still loaded. Another one is loaded first.

    Example: bestiary releases rollback --reason "calls every fox a dog"
    """
    with _progress(as_json) as shown:

        async def work(operator: Operator, store: ModelStore) -> RolloutState:
            return await operator.rollback(await operator.find(to) if to else None, reason, shown)

        state = _act(where, "rollback", work)
    _audited("rollback", state.champion)
    _say(state, as_json)


@app.command()
@_documented
def refuse(
    release: Named,
    reason: Annotated[str, typer.Option(help="What is wrong with it.")],
    where: Where = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Take a challenger, or a champion on probation, out of the rollout and remember why.

    Example: bestiary releases refuse 3 --reason "calls every fox a dog"
    """

    async def work(operator: Operator, store: ModelStore) -> RolloutState:
        return await operator.refuse(await operator.find(release), reason)

    state = _act(where, "refuse", work)
    _audited("refuse", release)
    _say(state, as_json)


@app.command()
@_documented
def clear(where: Where = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Take the challenger back; it may come again.

    Example: bestiary releases clear
    """
    state = _act(where, "clear", lambda operator, store: operator.clear())
    _audited("clear", state.history[-1].release)
    _say(state, as_json)


@app.command()
@_documented
def tidy(
    keep: Annotated[int, typer.Option(min=0, help="Releases to keep beside those in use.")] = 5,
    where: Where = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Delete the releases that were used longest ago; never one that answers, challenges, or answered before.

    Example: bestiary releases tidy --keep 3
    """
    gone = _act(where, "tidy", lambda operator, store: operator.tidy(keep))
    for release in gone:
        _audited("delete", release)
    typer.echo(json.dumps(gone) if as_json else f"{len(gone)} deleted: {', '.join(gone) or 'none is older'}")


@app.command()
@_documented
def status(where: Where = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show who answers, who challenges, what replicas have loaded, and what gateways saw.

    Example: bestiary releases status
    """
    seen = _act(where, "status", lambda operator, store: operator.overview())
    if not as_json:
        print_overview(seen)
        return
    document = {
        "state": seen.state.model_dump(mode="json"),
        "releases": seen.releases,
        "replicas": [report.model_dump(mode="json") for report in seen.replicas],
        "gateways": [report.model_dump(mode="json") for report in seen.gateways],
    }
    typer.echo(json.dumps(document))


def _role(release: str, state: RolloutState | None) -> str:
    if state is None:
        return ""
    if release == state.champion:
        return "champion"
    if state.challenger is not None and release == state.challenger.release:
        return state.challenger.stage.value
    return "previous" if release == state.previous else "refused" if release in state.refused else ""
