"""The life of any process: begin on uvloop, end at a signal, say in one line what a person must
fix."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from services.common.settings import SettingsError

_YOUNG, _MIDDLE, _OLD = 20_000, 20, 100
"""Objects that a collection waits for, and how many younger ones an older one waits for."""

SWITCH_SECONDS = 50e-6
"""How long a thread asks for the interpreter before it gets it. While one asks, each system call of
the event loop wakes it for nothing; Python's five milliseconds of that were a quarter of the edge's
time."""


def settle_heap() -> None:
    """What exists at the end of the start stays for ever: the garbage collector need not look at
    it again and again (a sixth of the edge's time under load)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


async def until_signal(*, worker: int = 0) -> None:
    """Return at the first SIGTERM or SIGINT. The start is over when this is called. A worker has a
    parent at the other end of its standard input, and does not outlive it."""
    settle_heap()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if worker:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    await stop.wait()
    if worker:
        loop.remove_reader(sys.stdin.fileno())


def run(main: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
    """Run a process's ``main`` on uvloop; an exit code it answers is the process's. A SettingsError
    ends it with one line and exit code 2."""
    code = None
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            code = uvloop.run(main())
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if code:
        raise SystemExit(code)
