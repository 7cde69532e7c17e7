"""A TCP proxy that does what networks do: wait, stall, cut, reset, close one half, refuse."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_RESET = struct.pack("ii", 1, 0)
FAULTS = ("latency", "stall", "cut", "reset", "half_close", "refuse")


class FaultProxy:
    """Between ``address`` and ``upstream``, in a thread of its own. ``fault`` is one of FAULTS, or
    empty for none; it concerns running and new connections."""

    def __init__(self, upstream: str, *, seed: int = 0, latency: float = 0.05) -> None:
        self.fault = ""
        self.latency = latency
        self.connections = 0
        self._upstream = upstream
        self._chosen = random.Random(seed)
        self._open: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()
        self._up.wait(5)

    def inflict(self, fault: str) -> None:
        """From now on; ends running connections where the fault says so."""
        assert fault in FAULTS, fault
        asyncio.run_coroutine_threadsafe(self._inflict(fault), self._loop).result(5)

    def heal(self) -> None:
        asyncio.run_coroutine_threadsafe(self._heal(), self._loop).result(5)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._passing.set()
        self._loop.run_until_complete(self._serve())
        self._up.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._joined, sock=self._listener)

    async def _end(self) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _inflict(self, fault: str) -> None:
        self.fault = fault
        if fault == "stall":
            self._passing.clear()
        if fault in ("cut", "reset", "refuse"):
            self._break(reset=fault == "reset")
        if fault == "half_close":
            for writer in list(self._open):
                if writer.can_write_eof() and self._chosen.random() < 0.5:
                    writer.write_eof()

    async def _heal(self) -> None:
        self.fault = ""
        self._passing.set()

    def _break(self, *, reset: bool) -> None:
        for writer in list(self._open):
            if reset:
                made = writer.get_extra_info("socket")
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.fault in ("cut", "reset", "refuse"):
            writer.transport.abort()
            return
        host, _, port = self._upstream.rpartition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._open -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    @staticmethod
    def _write(writer: asyncio.StreamWriter, data: bytes) -> bool:
        try:
            writer.write(data)
        except RuntimeError:  # this half was closed by a fault
            return False
        return True

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._passing.wait()
                if self.fault == "latency":
                    await asyncio.sleep(self.latency * self._chosen.uniform(0.5, 1.5))
                if writer.is_closing() or not self._write(writer, data):
                    break
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            writer.transport.abort()


@contextmanager
def fault_proxy(upstream: str, *, seed: int = 0) -> Iterator[FaultProxy]:
    made = FaultProxy(upstream, seed=seed)
    try:
        yield made
    finally:
        made.close()
