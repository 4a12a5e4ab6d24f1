"""The ``ModelServer`` port: each photo is answered by one release, chosen by the plan in force."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Final, NamedTuple

from contract.answer import Answer
from contract.options import DEFAULTS, Options
from contract.priority import Priority
from contract.record import Record
from gateway.errors import (
    BestiaryError,
    DeadlineExceeded,
    ModelFailed,
    ModelUnavailable,
    NotReady,
    Overloaded,
)
from gateway.metrics import Metrics
from gateway.ports import Clock, Inference, TensorServer
from gateway.rollout.lane import Lane
from gateway.rollout.plan import Plan, falls_to
from gateway.rollout.shadow import Copy, Shadow
from gateway.rollout.watch import CANARY, PROBATION, SHADOW, Watch

TRIAL_SHARE: Final = 0.5
"""Of a photo's time, what a release under watch gets; the rest is for the one that answers in its stead."""

HANGS: Final = 4.0
"""A release that lets so many times the objective's latency pass hangs; interactive photos are waited for no longer."""


class _Question(NamedTuple):
    photo: bytes
    deadline: float
    options: Options
    priority: Priority


class Router:
    """Asks the release that the plan says. One event loop; the plan may be replaced at any time."""

    def __init__(
        self,
        models: TensorServer,
        clock: Clock,
        shadow: Shadow,
        metrics: Metrics,
        slo_s: float,
        plan: Plan | None = None,
    ) -> None:
        self.plan = plan
        """In force for photos that come from now on; None: there is no release to answer with yet."""
        self._models = models
        self._clock = clock
        self._shadow = shadow
        self._metrics = metrics
        self._slo_s = slo_s

    async def infer(
        self,
        photo: bytes,
        *,
        deadline: float,
        options: Options = DEFAULTS,
        priority: Priority = Priority.INTERACTIVE,
        caller: str = "",
    ) -> Inference:
        """See ``gateway.ports.ModelServer``."""
        plan = self._in_force()
        question = _Question(photo, deadline, options, priority)
        watch = plan.watch
        if watch is None:
            return await self._steady(plan, question)
        if watch.key.stage == PROBATION:
            return await self._tried(watch, plan.champion, plan.previous, question)
        if watch.key.stage == CANARY and plan.challenger and falls_to(watch.key.release, caller, plan.share):
            return await self._tried(watch, plan.challenger, plan.champion, question)
        return await self._measured(plan, watch, question)

    async def ready(self) -> bool:
        """Whether Triton would answer with the champion."""
        plan = self.plan
        return plan is not None and await self._models.ready(plan.champion.model)

    async def config(self) -> Any:
        """See ``gateway.ports.ModelDetails``; the champion's."""
        return await self._models.config(self._in_force().champion.model)

    async def statistics(self) -> Any:
        """See ``gateway.ports.ModelDetails``; the champion's."""
        return await self._models.statistics(self._in_force().champion.model)

    def _in_force(self) -> Plan:
        plan = self.plan
        if plan is None:
            raise NotReady("There is no release to answer with yet: try again shortly.", retry_after_s=2.0)
        return plan

    async def _steady(self, plan: Plan, question: _Question) -> Inference:
        try:
            return await self._ask(plan.champion, question, question.deadline)
        except ModelUnavailable as error:
            if error.cause != "missing" or plan.previous is None:
                raise
            return await self._ask(plan.previous, question, question.deadline)

    async def _measured(self, plan: Plan, watch: Watch, question: _Question) -> Inference:
        """The champion's answer, which the challenger will be measured by."""
        if plan.pace is None:
            return await self._steady(plan, question)
        started = self._clock.monotonic()
        with plan.pace.asking() as company:
            inference = await self._steady(plan, question)
        seconds = self._clock.monotonic() - started
        plan.pace.add(inference.answer, seconds, question.options.tasks, question.priority, company)
        if watch.key.stage != SHADOW or plan.challenger is None or not inference.answer.status.answered:
            return inference
        copy = partial(self._copy, plan.share, plan.challenger, watch, question, inference.answer, company)
        return dataclasses.replace(inference, recorded=copy)

    async def _tried(self, watch: Watch, lane: Lane, other: Lane | None, question: _Question) -> Inference:
        """The answer of a release under watch; that of ``other`` if it fails, within the deadline all the same.

        It is to blame only where ``other`` answers: what both fail on is the photo's or the model server's trouble.
        """
        started = self._clock.monotonic()
        left_s = question.deadline - started
        trial_s = left_s if other is None else self._trial_s(left_s, question.priority)
        inference: Inference | None = None
        try:
            with watch.own.asking() as company:
                inference = await self._ask(lane, question, started + trial_s)
        except (ModelFailed, ModelUnavailable, DeadlineExceeded, Overloaded) as error:
            if other is None or (isinstance(error, Overloaded) and watch.key.stage == PROBATION):
                raise  # who carries the whole load must not pass it on to the same processors
            failure: BestiaryError = error
        if inference is not None and (inference.answer.status.answered or other is None):
            seconds = self._clock.monotonic() - started
            watch.answered(inference.answer, seconds, question.options.tasks, question.priority, company)
            self._count(watch, "ok")
            return inference
        assert other is not None
        if inference is not None:
            return await self._second_opinion(watch, inference, other, question)
        again = self._clock.monotonic()
        try:
            instead = await self._ask(other, question, question.deadline)
        except BestiaryError:
            raise failure from failure.__cause__
        if self._is_to_blame(failure, trial_s, self._clock.monotonic() - again):
            watch.failed()
            self._count(watch, "error")
        else:
            self._count(watch, "away")
        return instead

    async def _second_opinion(self, watch: Watch, refused: Inference, other: Lane, question: _Question) -> Inference:
        """A photo that a release under watch calls unusable is the other's to judge."""
        try:
            instead = await self._ask(other, question, question.deadline)
        except BestiaryError:
            return refused
        if not instead.answer.status.answered:
            self._count(watch, "ok")
            return refused
        watch.failed()
        self._count(watch, "error")
        return instead

    def _trial_s(self, left_s: float, priority: Priority) -> float:
        """How long a release under watch may take while there is another one, seconds."""
        trial_s = TRIAL_SHARE * left_s
        if priority is Priority.INTERACTIVE:  # photos that hang take the places of others
            trial_s = min(trial_s, HANGS * self._slo_s)
        return max(trial_s, min(left_s, self._slo_s))

    def _is_to_blame(self, error: BestiaryError, trial_s: float, other_s: float) -> bool:
        """Too slow is only who had time, while the other was quick: neither a short deadline nor a machine that stood
        still are its fault."""
        if isinstance(error, DeadlineExceeded):
            return trial_s >= HANGS * self._slo_s > HANGS * other_s
        return isinstance(error, ModelFailed) or (isinstance(error, ModelUnavailable) and error.cause == "died")

    async def _ask(self, lane: Lane, question: _Question, deadline: float) -> Inference:
        tensors = await self._models.infer(
            lane.model, question.photo, deadline=deadline, options=question.options, priority=question.priority
        )
        return Inference(tensors, lane.read(tensors))

    def _copy(
        self, share: float, lane: Lane, watch: Watch, question: _Question, answer: Answer, company: int, record: Record
    ) -> None:
        if falls_to(watch.key.release, str(record.id), share):
            self._shadow.offer(Copy(lane, watch, question.photo, question.options, answer, company, record))

    def _count(self, watch: Watch, outcome: str) -> None:
        self._metrics.release_photos.labels(watch.key.release, watch.key.stage, outcome).inc()
