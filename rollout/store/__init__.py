"""Where releases and the rollout's state are kept: :func:`open_model_store` chooses by the address."""

from __future__ import annotations

from pathlib import Path

from rollout.errors import StoreUnavailable
from rollout.ports import ModelStore
from rollout.store.directory import DirectoryModelStore


def open_model_store(where: str | Path) -> ModelStore:
    """A store in a directory, or with ``https://ACCOUNT.blob.core.windows.net`` in its container ``models``.

    A directory is made where it is missing. Raises StoreUnavailable if the address is none or cannot be used.
    """
    address = str(where)
    if "://" not in address:
        return DirectoryModelStore(Path(address))
    try:
        from rollout.store.azure_blob import connect
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            "A model store in Blob Storage needs the extra `azure`: run `pip install bestiary[azure]`."
        ) from error
    return connect(address)
