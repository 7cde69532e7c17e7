"""That a client hangs up, told to whoever answers it; a task that waits for it would cost more than
the news is worth."""

from collections.abc import Callable

DEPARTURE = "gateway.departure"
"""Where a scope has its connection's Departure."""


class Departure:
    """Of one connection. ``listen`` is called so that the end of the connection is heard even when
    reading was paused behind a large body."""

    def __init__(self, listen: Callable[[], None]) -> None:
        self._listen = listen
        self._gone = False
        self._calls: set[Callable[[], None]] = set()

    def tell(self, call: Callable[[], None]) -> None:
        """Call ``call`` when the client is gone, at once when it is already."""
        if self._gone:
            call()
            return
        self._calls.add(call)
        self._listen()

    def forget(self, call: Callable[[], None]) -> None:
        self._calls.discard(call)

    def happened(self) -> None:
        self._gone = True
        calls, self._calls = self._calls, set()
        for call in calls:
            call()
