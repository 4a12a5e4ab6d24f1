"""Errors between ``animals`` and the models that it calls."""

from __future__ import annotations


class ModelCallError(Exception):
    """A model behind ``animals`` failed; ``str()`` is Triton's text.

    Only the text is kept: Triton's error object belongs to a response that is gone by the time this is answered,
    and handing it on has crashed the server.
    """
