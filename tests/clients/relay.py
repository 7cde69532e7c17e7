"""A TCP relay that keeps what clients write, for clients that do not tell how often they ask."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """``asked`` is how many requests with that beginning came by."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._written: list[bytes] = []
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def asked(self, beginning: bytes) -> int:
        return sum(part.startswith(beginning) for part in self._written)

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target, 10)
                server.settimeout(None)
                self._open += client, server
                for source, sink, kept in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._carry, args=(source, sink, kept), daemon=True
                    ).start()

    def close(self) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _carry(self, source: socket.socket, sink: socket.socket, kept: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                if kept:
                    self._written.append(piece)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(url: str) -> Iterator[Relay]:
    relay = Relay(url)
    thread = threading.Thread(target=relay.serve)
    thread.start()
    try:
        yield relay
    finally:
        relay.close()
        thread.join(10)
