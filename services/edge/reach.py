"""Which upstreams can be reached. After failures to connect nobody waits for another one: requests
are refused, or fall back, at once, but for one from time to time that tries.

Only failures to connect count: nobody's request can bring them about, so that no caller can shut an
upstream for the others. Of these the upstream has seen nothing, so that none costs anything.
"""

import time
from collections.abc import Callable

from services.common.logs import logger
from services.edge import faults

log = logger("reach")

FAILURES = 3
"""In a row, over all requests, until an upstream counts as out of reach."""

PAUSE_SECONDS = 2.0
"""Between two requests that try whether it is back."""


class Reach:
    """Upstreams by their address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._next: dict[str, float] = {}

    def check(self, address: str) -> None:
        """Raises UpstreamFailed where there is no use in trying."""
        ends = self._next.get(address)
        if ends is None:
            return
        now = self._clock()
        if now < ends:
            raise faults.not_connected()
        self._next[address] = now + PAUSE_SECONDS

    def failed(self, address: str) -> None:
        """No connection came about."""
        failures = self._failures[address] = self._failures.get(address, 0) + 1
        if failures >= FAILURES:
            if address not in self._next:
                log.warning("upstream_out_of_reach", address=address)
            self._next[address] = self._clock() + PAUSE_SECONDS

    def reached(self, address: str) -> None:
        """It has answered, whatever it said."""
        if self._failures:
            self._failures.pop(address, None)
            if self._next.pop(address, None) is not None:
                log.info("upstream_reached_again", address=address)
