"""Every error has a stable word and a place in the table of codes."""

from __future__ import annotations

from http import HTTPStatus

import grpc
import pytest

from contract.photo_status import PhotoStatus, advice
from gateway import errors
from gateway.edge.status import grpc_status, http_status
from gateway.errors import BestiaryError, PhotoRejected


def leaves(kind: type[BestiaryError]) -> list[type[BestiaryError]]:
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


def public() -> list[type[BestiaryError]]:
    return [kind for kind in leaves(BestiaryError) if kind.__module__ == errors.__name__]


def made(kind: type[BestiaryError]) -> BestiaryError:
    return PhotoRejected(PhotoStatus.TRUNCATED) if kind is PhotoRejected else kind("x")


@pytest.mark.parametrize("kind", public())
def test_whose_fault_it_is_shows_in_the_code(kind: type[BestiaryError]) -> None:
    error = made(kind)
    status = http_status(error)
    if isinstance(error, errors.CallerError):
        assert 400 <= status < 500
        assert not error.retryable
    elif not isinstance(error, errors.Overloaded | errors.QuotaExceeded):
        assert status >= 500
    assert grpc_status(error) is not grpc.StatusCode.UNKNOWN


def test_words_are_unique() -> None:
    words = [kind.code for kind in public()]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("status", [status for status in PhotoStatus if status is not PhotoStatus.OK])
def test_every_photo_status_says_what_to_do(status: PhotoStatus) -> None:
    assert advice(status).count(". ") == 1
    assert http_status(PhotoRejected(status)) in {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    }
    assert grpc_status(PhotoRejected(status)) is grpc.StatusCode.INVALID_ARGUMENT
