"""What the simulator saw and delivered: a log for tests, in memory and on disk.

Each request is one record. On disk it is two JSON lines, one when it begins and one when it ends.
Credentials appear as the first 12 hex digits of their SHA-256.
"""

import hashlib
import io
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from starlette.datastructures import Headers

from services.common.settings import SettingsError

_KEPT = 10_000
_SECRETS = frozenset(
    [
        "authorization",
        "cf-aig-authorization",
        "api-key",
        "x-api-key",
        "cookie",
        "proxy-authorization",
    ]
)
_SUMMED = ("chunks", "bytes", "prompt_tokens", "completion_tokens")


@dataclass(slots=True)
class Record:
    """One request. ``usage`` is what the answer reported, if it came that far."""

    serial: int
    method: str
    path: str
    headers: dict[str, str]
    body_sha256: str
    body_bytes: int
    began: float
    request_id: str | None = None
    body: str | None = None
    model: str | None = None
    stream: bool = False
    prompt_tokens: int = 0
    status: int | None = None
    chunks: int = 0
    bytes: int = 0
    completion_tokens: int = 0
    usage: Any = None
    outcome: str = "running"
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """All fields; ``hung_up`` says whether the caller left before the end."""
        known = {name: getattr(self, name) for name in self.__slots__}
        return known | {"hung_up": self.outcome == "hung_up"}


class Witness:
    """The records of one simulator, the last 10,000 of them; ``log`` is a file to append to. Raises
    SettingsError when it cannot be written."""

    def __init__(self, log: str = "", keep_bodies: bool = False) -> None:
        self._file = _appended(log) if log else None
        self._keep_bodies = keep_bodies
        self._running = 0
        self._serial = 0
        self.clear()

    def clear(self) -> None:
        """Forget all that is past."""
        self._records: deque[Record] = deque(maxlen=_KEPT)
        self._totals: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._most_running = self._running

    def close(self) -> None:
        if self._file:
            self._file.close()

    def begin(self, method: str, path: str, headers: Headers, body: bytes) -> Record:
        """A request has arrived whole."""
        self._serial += 1
        self._running += 1
        self._most_running = max(self._most_running, self._running)
        record = Record(
            self._serial,
            method,
            path,
            {name: _shown(name, value) for name, value in headers.items()},
            hashlib.sha256(body).hexdigest(),
            len(body),
            time.time(),
            headers.get("x-request-id") or _metadata_id(headers.get("cf-aig-metadata")),
            body.decode(errors="replace") if self._keep_bodies else None,
        )
        self._records.append(record)
        self._append("begin", record)
        return record

    def end(self, record: Record, outcome: str) -> None:
        """It is over: ``complete``, ``hung_up``, ``cancelled`` or what a directive did."""
        record.outcome = outcome
        record.seconds = round(time.time() - record.began, 6)
        self._running -= 1
        self._outcomes[outcome] += 1
        self._statuses[str(record.status)] += 1
        for name in _SUMMED:
            self._totals[name] += getattr(record, name)
        self._append("end", record)

    def nth(self, request: str) -> int:
        """How many times ``request`` has come, this time included."""
        self._seen[request] += 1
        return self._seen[request]

    def records(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """The log, oldest first, or the part of it with one request id."""
        wanted = (r for r in self._records if request_id in (None, r.request_id))
        return [record.as_json() for record in wanted]

    def stats(self) -> dict[str, Any]:
        """Sums over all finished requests, and how many run now or ran at once at most."""
        return {
            "requests": self._outcomes.total() + self._running,
            "running": self._running,
            "most_running": self._most_running,
            "outcomes": self._outcomes,
            "statuses": self._statuses,
            **{name: self._totals[name] for name in _SUMMED},
        }

    def _append(self, event: str, record: Record) -> None:
        if self._file:
            line = {"event": event, **record.as_json()}
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _appended(log: str) -> io.FileIO:
    try:
        return Path(log).open("ab", buffering=0)
    except OSError as error:
        raise SettingsError(f"GATEWAY_SIMULATOR_LOG: {log}: {error.strerror}") from error


def _shown(name: str, value: str) -> str:
    if name not in _SECRETS:
        return value
    scheme, _, secret = value.rpartition(" ")
    return f"{scheme} sha256:{fingerprint(secret)}".strip()


def fingerprint(secret: str) -> str:
    """What the log shows of a credential: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def _metadata_id(metadata: str | None) -> str | None:
    try:
        given = orjson.loads(metadata or "{}")
    except orjson.JSONDecodeError:
        return None
    found = given.get("request_id") if isinstance(given, dict) else None
    return found if isinstance(found, str) else None
