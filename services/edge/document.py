"""An answer in one piece: what it must be to be passed on."""

from typing import Any

import orjson

from services.edge import faults

MAX_DOCUMENT = 64 << 20
"""Bytes of an answer in one piece."""

_ANSWERS = frozenset(["choices", "output", "data"])
"""A document without any of these is no answer; beside an error it is nothing else."""


def read_document(content: bytes) -> dict[str, Any]:
    """The JSON object of an answer. Raises UpstreamFailed for what is none, and for an error that
    came under status 200."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise faults.malformed() from None
    if not isinstance(document, dict):
        raise faults.malformed()
    if document.get("error") and not _ANSWERS & document.keys():
        raise faults.refused(502, content, "")
    return document
