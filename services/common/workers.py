"""Several processes of one service on one port: started, watched and stopped by a parent.

Each worker is a fresh interpreter with a listener of its own (SO_REUSEPORT), between which the
kernel divides the connections. The parent keeps the port reserved, so that a stranger is still
refused, and does nothing else.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Mapping

from services.common.listen import reserved
from services.common.logs import logger
from services.common.settings import SettingsError, child_environment

log = logger("workers")

METRICS_STRIDE = 10
"""Worker n serves its metrics on the service's port + 10·(n-1): 9100, 9110, 9120 ..."""

_SETTINGS_ARE_WRONG = 2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LASTING_SECONDS = 60.0
_MARGIN_SECONDS = 3.0


async def supervise(
    service: str,
    count: int,
    *,
    shared: Mapping[str, str],
    own: Mapping[str, str],
    stop_seconds: float,
) -> int:
    """Run ``count`` workers until a signal; answers with the exit code: 0 when all ended well.

    ``shared`` are listen addresses by their variable, ``own`` those of which each worker has
    another port. A worker that dies is started again; one whose settings are refused at the first
    start ends all; one that has not ended ``stop_seconds`` after it was told is killed. Raises
    SettingsError for an address that is taken or cannot be shared.
    """
    with contextlib.ExitStack() as held:
        addresses = {name: _reserve(held, name, listen) for name, listen in shared.items()}
        parent = _Parent(service, addresses, own, stop_seconds)
        log.info("workers", count=count, addresses=addresses)
        code = await parent.run(count)
    log.info("stopped", exit_code=code)
    return code


class _Parent:
    def __init__(
        self, service: str, addresses: Mapping[str, str], own: Mapping[str, str], seconds: float
    ) -> None:
        self._service = service
        self._addresses = addresses
        self._own = own
        self._stop_seconds = seconds + _MARGIN_SECONDS
        self._stop = asyncio.Event()
        self._code = 0
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def run(self, count: int) -> int:
        await asyncio.gather(*(self._keep(number) for number in range(1, count + 1)))
        return self._code

    async def _keep(self, number: int) -> None:
        """One worker, and its successors, until the end."""
        pause, first = _FIRST_PAUSE, True
        while not self._stop.is_set():
            began = time.monotonic()
            process = await self._start(number)
            ended = asyncio.create_task(process.wait())
            if await self._stopped(ended):
                await self._end(number, process, ended)
                return
            code = ended.result()
            if code == _SETTINGS_ARE_WRONG and first:
                self._code = code
                self._stop.set()
                return
            pause = _FIRST_PAUSE if time.monotonic() - began > _LASTING_SECONDS else pause
            log.error("worker_died", number=number, exit_code=code, again_in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause, first = min(pause * 2, _LONGEST_PAUSE), False

    async def _stopped(self, ended: asyncio.Task[int]) -> bool:
        """Wait for the end of a worker, or of all."""
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([ended, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        return self._stop.is_set()

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        """Its standard input is a pipe that ends when we do: it must not outlive us."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{self._service}",
            env=self._told(number),
            stdin=asyncio.subprocess.PIPE,
        )
        log.info("worker_started", number=number, pid=process.pid)
        return process

    def _told(self, number: int) -> dict[str, str]:
        own = {name: metrics_address(listen, number) for name, listen in self._own.items()}
        return {**child_environment(), **self._addresses, **own, "GATEWAY_WORKER": str(number)}

    async def _end(
        self, number: int, process: asyncio.subprocess.Process, ended: asyncio.Task[int]
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            code = await asyncio.wait_for(asyncio.shield(ended), self._stop_seconds)
        except TimeoutError:
            log.error("worker_killed", number=number, cause="it did not stop in time")
            process.kill()
            code = await ended
        # One that had not yet begun when it was told has nothing to end.
        if code not in (0, -signal.SIGTERM) and not self._code:
            self._code = 1


def metrics_address(listen: str, number: int) -> str:
    """Where worker ``number``, from 1, serves its metrics; empty for nowhere."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or port == "0":
        return listen
    return f"{host}:{int(port) + METRICS_STRIDE * (number - 1)}"


def _reserve(held: contextlib.ExitStack, variable: str, listen: str) -> str:
    """Nobody else's from now on; answers with the addresses, port 0 replaced by a real one."""
    found = []
    for address in filter(None, (part.strip() for part in listen.split(","))):
        if address.startswith("unix:"):
            raise SettingsError(
                f"{variable}: several workers cannot share {address}: write host:port"
            )
        holder = held.enter_context(reserved(address))
        found.append(f"{address.rpartition(':')[0]}:{holder.getsockname()[1]}")
    return ",".join(found)
