"""The processes that run: started in order, watched together, stopped in reverse order."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.launch.child import Child, say

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
# One Ctrl-C may arrive twice: from the terminal, and from what we were started by.
_SAME_INTERRUPT_SECONDS = 1.0


class StartFailed(Exception):
    """A process ended, or never became healthy: which one, why, and its last lines."""


class StopAsked(Exception):
    """A signal came while the processes were still starting."""


@dataclass(frozen=True)
class Plan:
    """A process to start; ``healthy`` is asked from a thread and may block for a second.
    ``grace`` is how long it may take to stop; ``inherit`` are file descriptors it keeps;
    ``quiet_start`` shows what it says before it is healthy only if that never happens."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    healthy: Callable[[], bool]
    grace: float
    inherit: Sequence[int] = ()
    quiet_start: bool = False


class Crew:
    """Signals: the first SIGINT, SIGTERM or SIGHUP asks for a clean stop, a SIGINT after that
    kills. SIGTERM may come twice (from make and from the process group) and means no more."""

    def __init__(self) -> None:
        self._groups: list[list[tuple[Plan, Child]]] = []
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._interrupted_at = float("-inf")
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)

    def _interrupted(self) -> None:
        now = time.monotonic()
        again = now - self._interrupted_at > _SAME_INTERRUPT_SECONDS
        self._interrupted_at = now
        if self._stop.is_set() and again:
            self._kill.set()
        self._stop.set()

    async def start(self, *plans: Plan) -> None:
        """Start these together, without waiting for their health. They stop together, too."""
        group: list[tuple[Plan, Child]] = []
        self._groups.append(group)
        for plan in plans:
            child = await Child.start(plan.name, plan.command, plan.environment, plan.inherit)
            child.shown = not plan.quiet_start
            group.append((plan, child))

    def pids(self) -> list[int]:
        """Ours, then those of the processes, in the order they were started."""
        return [os.getpid(), *(child.pid for _, child in self._everyone())]

    async def ready(self) -> None:
        """Return when everything that was started is healthy. Raises StartFailed, StopAsked."""
        deadline = time.monotonic() + _READY_SECONDS
        for plan, child in self._everyone():
            while not await asyncio.to_thread(plan.healthy):
                self._check()
                if time.monotonic() > deadline:
                    raise StartFailed(_told(child, f"is not healthy after {_READY_SECONDS:.0f} s"))
                await self._first_event(_POLL_SECONDS)
            child.shown = True
        self._check()

    async def watch(self) -> None:
        """Return when a stop is asked for. Raises StartFailed when a process ends by itself."""
        await self._first_event(None)
        if not self._stop.is_set():
            self._check()

    async def stop(self) -> None:
        """Stop everything in reverse order; a further SIGINT kills what is left."""
        self._stop.set()
        if any(not child.ended.done() for _, child in self._everyone()):
            say("stopping (Ctrl-C again kills)")
        drain = asyncio.create_task(self._drain())
        hurry = asyncio.create_task(self._kill.wait())
        await asyncio.wait([drain, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not drain.done():
            drain.cancel()
            say("killed")
            for _, child in self._everyone():
                child.kill()
        await asyncio.gather(drain, return_exceptions=True)
        await asyncio.gather(*(child.ended for _, child in self._everyone()))

    async def _drain(self) -> None:
        for group in reversed(self._groups):
            await asyncio.gather(*(child.stop(plan.grace) for plan, child in group))

    def _everyone(self) -> list[tuple[Plan, Child]]:
        return [member for group in self._groups for member in group]

    def _check(self) -> None:
        if self._stop.is_set():
            raise StopAsked
        for _, child in self._everyone():
            if child.ended.done():
                raise StartFailed(_told(child, f"ended by itself ({_code(child.ended.result())})"))

    async def _first_event(self, seconds: float | None) -> None:
        stop = asyncio.create_task(self._stop.wait())
        ends = [child.ended for _, child in self._everyone()]
        await asyncio.wait([stop, *ends], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()


def _code(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _told(child: Child, what: str) -> str:
    lines = [f"{child.name} {what}", *(f"  {line}" for line in child.tail)]
    return "\n".join(lines) if child.tail else f"{lines[0]} and said nothing"
