"""Secrets are taken out of whatever is logged: by us, by uvicorn, by the SDKs, in tracebacks too."""

from __future__ import annotations

import logging
import re
import sys
from typing import Final

MASK: Final = "***"

_RULES: Final = (
    # JSON Web Tokens wherever they stand: header and payload are base64url of `{"`.
    (re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?"), MASK),
    # Our API keys; the id stays, so that a line can be traced to a key.
    (re.compile(r"(bestiary_[0-9a-f]{12}_)[A-Za-z0-9_-]+"), rf"\1{MASK}"),
    # Authorization: <scheme> <secret>, as a header, in a repr or in JSON.
    (re.compile(r"""(?i)(authorization["']?\s*[:=,]\s*+b?+["']?+(?:\w+\s+)?+)(?!\*\*\*)[^\s"',;]+"""), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer|apikey)\s+(?!\*\*\*)[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"""(?i)((?:x-api-key|api[-_]?key)["']?\s*[:=,]\s*+b?+["']?+)(?!\*\*\*)[^\s"',;]+"""), rf"\1{MASK}"),
    # Shared access signatures (the HMAC in `sig`) and keys in connection strings of Azure.
    (re.compile(r"(?i)([?&;]sig=)[^&\s\"']+"), rf"\1{MASK}"),
    (
        re.compile(r"(?i)((?:account|sharedaccess|shared|primary|secondary|master)_?key\s*[=:]\s*[\"']?)[^;\s\"',]+"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)(sharedaccesssignature\s*=\s*)[^;\s\"']+"), rf"\1{MASK}"),
    (re.compile(r"(?i)((?:password|passwd|pwd|client_secret|secret|pepper)[\"']?\s*[=:]\s*[\"']?)[^;&\s\"',]+"),
     rf"\1{MASK}"),
    # user:password@host of a URL.
    (re.compile(r"(://[^/\s:@]+:)[^/\s@]+(@)"), rf"\1{MASK}\2"),
)  # fmt: skip


def redact(text: str) -> str:
    """The text without bearer tokens, API keys, signatures, account keys and passwords."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class RedactingFilter(logging.Filter):
    """Put on a handler: every record that it writes is redacted first, its traceback included."""

    _plain = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the record is changed in place."""
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self._plain.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def open_log(level: str, who: str = "") -> None:
    """Log everything to standard error, redacted; ``who`` stands before each logger's name. Raises ValueError for an
    unknown level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RedactingFilter())
    form = f"%(asctime)s %(levelname)s {who}%(name)s: %(message)s"
    logging.basicConfig(level=level.upper(), format=form, handlers=[handler])
