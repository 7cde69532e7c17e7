"""Whether it is worth asking: after failures nobody waits until one call has succeeded again."""

import math
import time
from collections.abc import Callable

from services.common.errors import Unavailable
from services.common.logs import logger

log = logger("breaker")

FAILURES = 3
"""Quick failures in a row that open it."""

SLOW_SECONDS = 0.1
"""A failure that took longer opens it at once: the next ones would wait as long. Silence does not,
if others were answered meanwhile: the service is busy, or one replica of it hangs."""

PROBE_SECONDS = 0.25


class NotAsked(Unavailable):
    """The service was not even asked."""


class Breaker:
    """Of one service. While it is open, ``probe_due`` says from time to time that one call should
    be made that nobody waits for. ``on_change`` hears each opening (True) and closing (False)."""

    def __init__(
        self,
        service: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.open = False
        self.service = service
        self.on_change = on_change
        self._clock = clock
        self._failures = 0
        self._answered = -math.inf
        self._next_probe = 0.0

    def check(self) -> None:
        """Raises NotAsked while it is open."""
        if self.open:
            metadata = {"service": self.service}
            raise NotAsked(f"{self.service} did not answer lately", metadata=metadata)

    def succeeded(self) -> None:
        self._failures = 0
        self._answered = self._clock()
        if self.open:
            self._turn(False)

    def failed(self, seconds: float, *, silent: bool = False) -> None:
        """A call failed after so many seconds; ``silent``: nobody said anything."""
        self._failures += 1
        busy = silent and self._answered > self._clock() - seconds
        slow = seconds >= SLOW_SECONDS and not busy
        if not self.open and (self._failures >= FAILURES or slow):
            self._turn(True)

    def probe_due(self) -> bool:
        """True once in a while, as long as it is open."""
        now = self._clock()
        if not self.open or now < self._next_probe:
            return False
        self._next_probe = now + PROBE_SECONDS
        return True

    def _turn(self, opened: bool) -> None:
        self.open = opened
        log.warning("unavailable" if opened else "available_again", service=self.service)
        self.on_change(opened)
