"""Large bodies are read and changed beside the event loop, so that nobody else waits for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

LARGE = 256 << 10
"""Bytes from which on the way to a thread and back costs less than the others' waiting."""

T = TypeVar("T")


class Bulk:
    """One thread: several would only fight the loop for the interpreter's lock."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "bulk")

    async def do(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """What has not begun is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)
