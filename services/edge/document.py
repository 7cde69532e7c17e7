"""An answer in one piece: what it must be to be passed on."""

from collections.abc import AsyncIterator
from typing import Any

import orjson

from services.edge import faults
from services.edge.alarm import Alarm
from services.edge.exchange import ClientGone
from services.edge.upstream import transport_errors

MAX_DOCUMENT = 64 << 20
"""Bytes of an answer in one piece."""

_ANSWERS = frozenset(["choices", "output", "data"])
"""A document without any of these is no answer; beside an error it is nothing else."""


async def gathered(body: AsyncIterator[bytes], alarm: Alarm, seconds: float) -> bytes:
    """The whole body, if no wait for a piece of it takes longer than ``seconds``. Raises
    UpstreamFailed, ClientGone."""
    pieces: list[bytes] = []
    size = 0
    try:
        with alarm.armed(seconds), transport_errors():
            async for piece in body:
                alarm.again()
                pieces.append(piece)
                size += len(piece)
                if size > MAX_DOCUMENT:
                    raise faults.malformed()
    except TimeoutError:
        if alarm.gone:
            raise ClientGone from None
        raise faults.timed_out() from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


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
