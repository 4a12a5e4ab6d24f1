"""An issuer, a clock and whoever asks for tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.auth.bearer import BearerAuthenticator, Trust
from gateway.auth.jwks import JwksCache
from tests.support.gateway import TestClock
from tests.support.issuer import AUDIENCE, ISSUERS, TENANT, Issuer, running_issuer


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
async def bearer(issuer: Issuer, clock: TestClock) -> AsyncIterator[BearerAuthenticator]:
    made = BearerAuthenticator(Trust({TENANT}, (AUDIENCE,), ISSUERS), JwksCache(issuer.url, clock), clock)
    yield made
    await made.close()
