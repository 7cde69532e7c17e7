"""What every API module offers: ``read`` a body, ``answer`` it as a document or as events."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from services.simulator.ask import Ask, Body
from services.simulator.errors import Refused
from services.simulator.faults import Faults

FINGERPRINT = "fp_5imu1a7ed0"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one answer its own: a serial number and the time in Unix seconds."""

    serial: int
    created: int

    def name(self, prefix: str, part: int = 0, size: int = 29) -> str:
        """An id like ``chatcmpl-…``, unique within this simulator."""
        digest = hashlib.sha256(f"{self.created} {self.serial} {part}".encode()).hexdigest()
        return prefix + digest[:size]


@dataclass(slots=True)
class Event:
    """One server-sent event. A delta delivers ``tokens``; other events deliver nothing."""

    data: dict[str, Any]
    name: str | None = None
    delta: bool = False
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A document that delivers ``tokens``, or events."""

    document: dict[str, Any] | None = None
    tokens: int = 0
    events: Iterator[Event] | None = None


class Api(Protocol):
    """A module that speaks one API."""

    def read(self, body: Body) -> Ask:
        """Check a request. Raises Refused."""

    def answer(self, ask: Ask, faults: Faults, rest: str, stamp: Stamp) -> Answer:
        """Answer it; ``rest`` is the last user message without its directive."""

    def failed(
        self, error: Refused, faults: Faults, stamp: Stamp, number: int
    ) -> tuple[str | None, bytes]:
        """Name and data of the event that tells of a failure, the stream's event ``number``."""
