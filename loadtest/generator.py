"""``python -m loadtest.generator``: a process that sends, or the master of several.

It is a process of its own because Locust makes the whole standard library cooperative (gevent) when it is imported.
A plan and the photos come in on standard input; lines of JSON go out on standard output while it runs:

- ``{"type": "samples", ...}`` columns of what was measured (:class:`loadtest.samples.Samples`),
- ``{"type": "watch", "worker", "lags", "wall_s", "cpu_s"}`` how a process that sends fared,
- ``{"type": "done", "worker"}`` when one is through, ``{"type": "failed", "reason"}`` if nothing can come of it.

Alone it runs Locust's local runner. As a master it waits for the workers of the plan, tells each its share by Locust's
own messages, and passes on what they report; ``--worker HOST:PORT`` is such a worker.
"""

from __future__ import annotations

import sys

import locust  # first: it patches the standard library
from grpc.experimental.gevent import init_gevent

init_gevent()

import argparse  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any, Final  # noqa: E402

import gevent  # type: ignore[import-untyped]  # noqa: E402
from gevent.event import Event  # type: ignore[import-untyped]  # noqa: E402
from locust.env import Environment  # noqa: E402
from locust.exception import StopUser  # noqa: E402
from locust.runners import MasterRunner, WorkerRunner  # noqa: E402

from loadtest.handover import Photos, read_job  # noqa: E402
from loadtest.load import Load, Share  # noqa: E402
from loadtest.photos import Kind  # noqa: E402
from loadtest.plan import Plan, load_plan  # noqa: E402
from loadtest.wire.reply import OK  # noqa: E402

REPORT_S: Final = 1.0
JOIN_LIMIT_S: Final = 60.0
"""How long a master waits for its workers."""

Tell = Callable[[dict[str, Any]], None]


class NotOk(Exception):
    """An outcome other than ``ok``, for Locust's own statistics."""


class PhotoUser(locust.User):
    """Locust's user. In the open loop there is one a process, who sends the whole share; in the closed loop each is a
    caller."""

    job: Job | None = None

    @locust.task
    def send(self) -> None:
        """The whole run."""
        if self.job is not None:
            self.job.run()
        raise StopUser


class Job:
    """One process's share of a run, told about second by second."""

    def __init__(self, environment: Environment, plan: Plan, photos: Photos, share: Share, tell: Tell) -> None:
        def observe(user: str, kind: str, seconds: float, outcome: str) -> None:
            environment.events.request.fire(  # type: ignore[no-untyped-call]
                request_type=user,
                name=kind,
                response_time=1e3 * seconds,
                response_length=0,
                exception=None if outcome == OK else NotOk(outcome),
                context={},
            )

        self._plan, self._tell, self._worker = plan, tell, share.index
        self._load = Load(plan, photos, share, observe)
        self._begun, self._over, self._users, self._callers = Event(), Event(), 0, 0
        PhotoUser.job = self

    def run(self) -> None:
        """What a user does; returns when the run is over."""
        self._users += 1
        self._callers += 1
        self._begun.set()
        try:
            if self._plan.callers:
                self._load.closed_loop(self._callers)
            else:
                self._load.open_loop()
        finally:
            self._users -= 1
            if not self._users:
                self._over.set()

    def report(self) -> None:
        """Tell what is measured until the run is over."""
        self._begun.wait(JOIN_LIMIT_S)
        deadline = time.monotonic() + self._load.length_s
        while not self._over.wait(REPORT_S) and time.monotonic() < deadline:
            self._news()
        self._load.close()
        self._news()
        if self._load.failure is not None or not self._begun.is_set():
            self._tell({"type": "failed", "reason": f"A process that sends failed: {self._load.failure!r}."})
        self._tell({"type": "done", "worker": self._worker})

    def _news(self) -> None:
        self._tell({"type": "samples", **self._load.recorder.take()})
        self._tell({"type": "watch", "worker": self._worker, **self._load.watch.take()})


def say(message: dict[str, Any]) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def alone(plan: Plan, photos: Photos) -> None:
    """Send everything from this process."""
    environment = Environment(user_classes=[PhotoUser])
    runner = environment.create_local_runner()
    job = Job(environment, plan, photos, Share(), say)
    users = plan.callers or 1
    runner.start(users, spawn_rate=users)
    job.report()
    runner.quit()


def master(plan: Plan, photos: Photos, host: str, port: int) -> None:
    """Wait for the workers, give each its share, pass on what they tell."""
    environment = Environment(user_classes=[PhotoUser])
    runner: MasterRunner = environment.create_master_runner(host, port)
    ready, done = 0, 0

    def on_tell(environment: Environment, msg: Any, **_: Any) -> None:
        nonlocal done
        done += msg.data["type"] == "done"
        say(msg.data)

    def on_prepared(environment: Environment, msg: Any, **_: Any) -> None:
        nonlocal ready
        ready += 1

    runner.register_message("tell", on_tell)
    runner.register_message("prepared", on_prepared)
    if not _until(lambda: len(runner.clients.ready) >= plan.workers, JOIN_LIMIT_S):
        say({"type": "failed", "reason": f"Only {len(runner.clients.ready)} of {plan.workers} workers came."})
        return
    shared = {"plan": plan.dump(), "photos": {kind.value: list(its) for kind, its in photos.items()}}
    for index, client in enumerate(list(runner.clients.ready)[: plan.workers]):
        runner.send_message("work", shared | {"share": [index, plan.workers]}, client_id=client.id)
    if not _until(lambda: ready >= plan.workers, JOIN_LIMIT_S):
        say({"type": "failed", "reason": f"Only {ready} of {plan.workers} workers made their requests ready."})
        return
    users = plan.callers or plan.workers
    runner.start(users, spawn_rate=users)
    schedule = plan.schedule
    limit_s = schedule.warm_up_s + schedule.seconds + plan.timeout_s + JOIN_LIMIT_S
    if not _until(lambda: done >= plan.workers, limit_s):
        say({"type": "failed", "reason": f"Only {done} of {plan.workers} workers finished: look at their machines."})
    runner.quit()


def worker(host: str, port: int) -> None:
    """Do the share that the master gives, once."""
    environment = Environment(user_classes=[PhotoUser])
    runner: WorkerRunner = environment.create_worker_runner(host, port)
    over = Event()

    def tell(message: dict[str, Any]) -> None:
        runner.send_message("tell", message)

    def on_work(environment: Environment, msg: Any, **_: Any) -> None:
        try:
            photos = {Kind(kind): photos for kind, photos in msg.data["photos"].items()}
            job = Job(environment, load_plan(msg.data["plan"]), photos, Share(*msg.data["share"]), tell)
            runner.send_message("prepared")
            job.report()
        except Exception as error:
            tell({"type": "failed", "reason": f"A worker failed: {error!r}."})
            raise
        finally:
            over.set()

    runner.register_message("work", on_work, concurrent=True)
    over.wait()
    gevent.sleep(REPORT_S / 4)  # the last messages leave
    runner.quit()


def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Whether it came true in time."""
    with gevent.Timeout(limit_s, False):
        while not condition():
            gevent.sleep(0.05)
        return True
    return condition()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", metavar="HOST:PORT", help="work for the master there")
    parser.add_argument("--master", metavar="HOST:PORT", help="listen for workers there")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    address = options.worker or options.master
    host, _, port = (address or "").rpartition(":")
    if options.worker:
        worker(host, int(port))
        return
    plan, photos = read_job(sys.stdin.buffer)
    if options.master:
        master(plan, photos, host, int(port))
    else:
        alone(plan, photos)


if __name__ == "__main__":
    main()
