"""A caller's share, on a clock that stands still."""

from __future__ import annotations

import pytest

from contract.photo_status import PhotoStatus
from gateway.auth.principal import Kind, Principal, Quota
from gateway.errors import Overloaded, PhotoRejected, QuotaExceeded
from gateway.quota import Quotas
from tests.support.gateway import TestClock


def caller(subject: str, quota: Quota | None = None) -> Principal:
    return Principal("park", subject, frozenset(), Kind.KEY, quota=quota)


def send(quotas: Quotas, principal: Principal) -> None:
    with quotas.admit(principal):
        pass


def test_a_minute_has_so_many_photos_and_says_when_the_next_may_come() -> None:
    clock = TestClock()
    quotas = Quotas(clock, Quota(photos_per_minute=6))
    for _ in range(6):
        send(quotas, caller("anna"))
    with pytest.raises(QuotaExceeded) as caught:
        send(quotas, caller("anna"))
    assert caught.value.retry_after_s == pytest.approx(10)
    clock.pass_s(9)
    with pytest.raises(QuotaExceeded) as caught:
        send(quotas, caller("anna"))
    assert caught.value.retry_after_s == pytest.approx(1)
    clock.pass_s(1)
    send(quotas, caller("anna"))


def test_one_caller_does_not_use_up_anothers_share() -> None:
    quotas = Quotas(TestClock(), Quota(photos_per_minute=1))
    send(quotas, caller("anna"))
    send(quotas, caller("bert"))
    with pytest.raises(QuotaExceeded):
        send(quotas, caller("anna"))


def test_photos_in_work_are_counted_until_they_are_answered() -> None:
    quotas = Quotas(TestClock(), Quota(in_flight=1))
    with quotas.admit(caller("anna")):
        with pytest.raises(QuotaExceeded) as caught:
            send(quotas, caller("anna"))
        assert caught.value.retry_after_s
    send(quotas, caller("anna"))
    with pytest.raises(RuntimeError), quotas.admit(caller("anna")):
        raise RuntimeError
    send(quotas, caller("anna"))


def test_a_refused_photo_costs_nothing() -> None:
    clock = TestClock()
    quotas = Quotas(clock, Quota(photos_per_minute=60, in_flight=1))
    with quotas.admit(caller("anna")):
        for _ in range(100):
            with pytest.raises(QuotaExceeded):
                send(quotas, caller("anna"))
    for _ in range(59):
        send(quotas, caller("anna"))
    with pytest.raises(QuotaExceeded):
        send(quotas, caller("anna"))


def test_what_fails_on_our_side_is_given_back_and_a_bad_photo_is_not() -> None:
    quotas = Quotas(TestClock(), Quota(photos_per_minute=1))
    for _ in range(5):
        with pytest.raises(Overloaded), quotas.admit(caller("anna")):
            raise Overloaded("no room")
    with pytest.raises(PhotoRejected), quotas.admit(caller("anna")):
        raise PhotoRejected(PhotoStatus.TRUNCATED)
    with pytest.raises(QuotaExceeded):
        send(quotas, caller("anna"))


def test_a_key_may_have_its_own_share() -> None:
    quotas = Quotas(TestClock(), Quota(photos_per_minute=1))
    for _ in range(5):
        send(quotas, caller("camera", Quota(photos_per_minute=5)))
    with pytest.raises(QuotaExceeded):
        send(quotas, caller("camera", Quota(photos_per_minute=5)))


def test_without_a_limit_nobody_is_refused() -> None:
    quotas = Quotas(TestClock(), Quota())
    for _ in range(1000):
        send(quotas, caller("anna"))


def test_callers_that_rest_are_forgotten_and_those_at_work_are_not() -> None:
    clock = TestClock()
    quotas = Quotas(clock, Quota(photos_per_minute=1, in_flight=1))
    with quotas.admit(caller("slow")):
        for number in range(100):
            send(quotas, caller(f"{number}"))
        clock.pass_s(61)
        send(quotas, caller("anna"))
        assert quotas.accounts == 2
        with pytest.raises(QuotaExceeded, match="in work"):
            send(quotas, caller("slow"))
