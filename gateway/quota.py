"""What one caller may use: photos a minute (token bucket) and photos in work at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway.auth.principal import Principal, Quota
from gateway.errors import QuotaExceeded, ServiceError
from gateway.ports import Clock

WINDOW_S: Final = 60.0
IN_FLIGHT_RETRY_S: Final = 0.5


@dataclass(slots=True)
class _Account:
    """``tokens`` were left at ``at`` (monotonic seconds)."""

    tokens: float
    at: float
    in_flight: int = 0


class Quotas:
    """Accounts by owner, in this process. One event loop only.

    A bucket holds one minute's photos, so after a minute's rest all of them may come at once. Accounts of owners
    that rest for a minute are dropped: their buckets are full again.
    """

    def __init__(self, clock: Clock, default: Quota) -> None:
        self._clock = clock
        self._default = default
        self._accounts: dict[str, _Account] = {}
        self._swept_at = clock.monotonic()

    @property
    def accounts(self) -> int:
        """Owners that are remembered."""
        return len(self._accounts)

    @contextmanager
    def admit(self, principal: Principal) -> Iterator[None]:
        """Take one photo from the caller's share and hold a place while it is in work. Raises QuotaExceeded.

        What fails on our side (ServiceError: overloaded, not ready, model or storage away) is given back.
        """
        quota = self._default if principal.quota is None else principal.quota
        now = self._clock.monotonic()
        self._sweep(now)
        capacity = float(quota.photos_per_minute or 0)
        account = self._accounts.setdefault(principal.owner, _Account(capacity, now))
        if quota.in_flight is not None and account.in_flight >= quota.in_flight:
            raise QuotaExceeded(
                f"You have {account.in_flight} photos in work, your limit: wait for answers, or send fewer at once.",
                retry_after_s=IN_FLIGHT_RETRY_S,
            )
        if quota.photos_per_minute is not None:
            self._take(account, quota.photos_per_minute, now)
        account.at = now
        account.in_flight += 1
        try:
            yield
        except ServiceError:
            account.tokens = min(capacity, account.tokens + 1.0)
            raise
        finally:
            account.in_flight -= 1

    def _take(self, account: _Account, per_minute: int, now: float) -> None:
        rate = per_minute / WINDOW_S
        tokens = min(float(per_minute), account.tokens + (now - account.at) * rate)
        if tokens < 1.0:
            raise QuotaExceeded(
                f"You have sent {per_minute} photos within a minute, your limit: send them more slowly.",
                retry_after_s=(1.0 - tokens) / rate,
            )
        account.tokens = tokens - 1.0

    def _sweep(self, now: float) -> None:
        if now - self._swept_at < WINDOW_S:
            return
        self._swept_at = now
        self._accounts = {
            owner: account
            for owner, account in self._accounts.items()
            if account.in_flight or now - account.at < WINDOW_S
        }
