"""Which references are taken; that refused ones connect to nothing is in test_blob_reference.py."""

from __future__ import annotations

import pytest

from gateway.blob_names import BlobReferences
from gateway.errors import BlobRefused
from tests.support.references import ACCOUNT_URL, REFUSED

REFERENCES = BlobReferences(("uploads", "datasets"), ACCOUNT_URL)


@pytest.mark.parametrize("reference", REFUSED)
def test_what_could_lead_elsewhere_is_refused(reference: str) -> None:
    with pytest.raises(BlobRefused) as caught:
        REFERENCES.name_of(reference)
    assert caught.value.reason == "blob_refused"


@pytest.mark.parametrize("name", ["uploads/ab/abcd.jpg", "datasets/Camera 7/IMG (1)+ä.JPG", "datasets/x"])
def test_a_name_and_its_url_are_the_same_reference(name: str) -> None:
    assert REFERENCES.name_of(name) == name
    assert REFERENCES.name_of(f"{ACCOUNT_URL}/{name}") == name


def test_without_an_account_no_url_is_a_reference() -> None:
    references = BlobReferences(("uploads",))
    assert references.name_of("uploads/a.jpg") == "uploads/a.jpg"
    for reference in (f"{ACCOUNT_URL}/uploads/a.jpg", "/uploads/a.jpg", "//uploads/a.jpg", "file:///uploads/a.jpg"):
        with pytest.raises(BlobRefused):
            references.name_of(reference)


def test_an_account_with_a_path_keeps_to_it() -> None:
    references = BlobReferences(("uploads",), "http://127.0.0.1:10000/wildlife/")
    assert references.name_of("http://127.0.0.1:10000/wildlife/uploads/a.jpg") == "uploads/a.jpg"
    for reference in ("http://127.0.0.1:10000/other/uploads/a.jpg", "http://127.0.0.1:10000/uploads/a.jpg"):
        with pytest.raises(BlobRefused):
            references.name_of(reference)


def test_no_container_means_no_reference() -> None:
    with pytest.raises(BlobRefused, match="no container"):
        BlobReferences((), ACCOUNT_URL).name_of("uploads/a.jpg")


def test_an_unknown_container_in_the_settings_is_said_so() -> None:
    with pytest.raises(ValueError, match="secrets"):
        BlobReferences(("uploads", "secrets"))
