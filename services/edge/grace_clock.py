"""Which day it is, where nobody can be asked."""

import time

_SKEW_MS = 2_000


class Clock:
    """The wall clock as it was when the ledger found it right, and what has passed since."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def anchor(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now_ms(self) -> int | None:
        """None when the wall clock was set to another time meanwhile."""
        wall = time.time()
        if self._offset is None:
            return int(wall * 1_000)
        steady = self._offset + time.monotonic()
        return None if abs(steady - wall) * 1_000 > _SKEW_MS else int(steady * 1_000)
