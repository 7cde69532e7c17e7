"""What an outbox writes: items handed over, and up to which number they are booked."""

import json
import struct
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple

from google.protobuf.json_format import MessageToDict

from gateway.quota.v1.quota_pb2 import SettleItem
from services.common.logs import logger
from services.edge import journal

log = logger("outbox")

KEPT_MS = 10 * 60_000
"""How long items are kept, from when they are booked, to be sent again."""

_KIND = struct.Struct("<BQ")
_HANDED_OVER, _BOOKED = 1, 2
_REFUSED = "refused.jsonl"


class Kept(NamedTuple):
    """What a journal holds: items not booked yet, items booked lately, the highest number, and when
    the oldest of the items was handed over."""

    waiting: list[SettleItem]
    booked: list[SettleItem]
    highest: int
    oldest_ms: int


def restore(directory: Path, now_ms: int) -> Kept:
    found: dict[int, tuple[int, bytes]] = {}
    marks, times = [0], [0]
    for record in journal.read(directory):
        kind, number = _KIND.unpack_from(record.body)
        if kind != _BOOKED:
            found[number] = (record.time_ms, record.body[_KIND.size :])
        elif number > marks[-1]:
            marks.append(number)
            times.append(record.time_ms)
    done, since = marks[-1], now_ms - KEPT_MS
    waiting = [n for n in found if n > done]
    booked = [n for n in found if n <= done and times[bisect_left(marks, n)] > since]
    return Kept(
        [SettleItem.FromString(found[n][1]) for n in waiting],
        [SettleItem.FromString(found[n][1]) for n in booked],
        max([done, *found]),
        min((found[n][0] for n in (*waiting, *booked)), default=now_ms),
    )


def handed_over(number: int, item: SettleItem) -> bytes:
    return _KIND.pack(_HANDED_OVER, number) + item.SerializeToString()


def booked(number: int) -> bytes:
    """Everything up to ``number`` is booked."""
    return _KIND.pack(_BOOKED, number)


def set_aside(directory: Path, item: SettleItem, reason: str, detail: str) -> None:
    """Keep an item that the ledger will never take, for a person to look at."""
    line = json.dumps({"reason": reason, "detail": detail, "item": MessageToDict(item)})
    try:
        path = directory / _REFUSED
        path.touch(mode=0o600)
        with path.open("a") as file:
            file.write(line + "\n")
    except OSError as error:
        log.error("refused_not_noted", cause=str(error))
