"""Serving the simulator: in this process's event loop, or in a thread beside it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import uvicorn

from services.common.listen import bound
from services.common.settings import SettingsError
from services.simulator.app import app
from services.simulator.line import Protocol
from services.simulator.settings import SimulatorSettings
from services.simulator.witness import Witness

_KEEP_ALIVE = 120  # seconds; longer than any client keeps an idle connection
_START = 10  # seconds
_GRACE = 1  # seconds for running answers to end; some never would


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator. ``url`` has no path: clients want ``url + "/v1"``."""

    url: str
    witness: Witness


class _Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers: the process has its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(settings: SimulatorSettings) -> AsyncIterator[Simulator]:
    """A simulator in this event loop until the block ends. Raises SettingsError."""
    application = app(settings)
    listener = bound(settings.listen)
    server = _Server(
        uvicorn.Config(
            application,
            http=Protocol,
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.up.wait()
        host, port = listener.getsockname()[:2]
        yield Simulator(f"http://{host}:{port}", application.state.witness)
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextlib.contextmanager
def beside(settings: SimulatorSettings) -> Iterator[Simulator]:
    """A simulator in a thread of its own, for synchronous callers. Raises SettingsError."""
    running: Future[tuple[Simulator, Callable[[], object]]] = Future()

    async def live() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with serving(settings) as simulator:
            running.set_result((simulator, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except SettingsError as error:
            running.set_exception(error)

    thread = threading.Thread(target=run, name="simulator")
    thread.start()
    simulator, stop = running.result(_START)
    try:
        yield simulator
    finally:
        stop()
        thread.join()
