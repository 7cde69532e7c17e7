"""A provider that answers with the bytes a test gave it, piece by piece, and closes."""

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

_LENGTH = re.compile(rb"content-length: (\d+)", re.I)
_MODEL = re.compile(rb'"model"(?: ?: ?"|\r\n\r\n)([^"\r]+)')


class RawUpstream:
    """``answers`` holds the pieces of an answer by the last part of the model's name, ``asked`` the
    last request for it."""

    def __init__(self) -> None:
        self.answers: dict[str, Sequence[bytes]] = {}
        self.asked: dict[str, bytes] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, suppress(OSError):
            asked = _request(connection)
            name = _MODEL.search(asked)[1].decode()  # type: ignore[index]
            self.asked[name] = asked
            for piece in self.answers[name]:
                connection.sendall(piece)


def _request(connection: socket.socket) -> bytes:
    """One request with a length."""
    asked = b""
    while True:
        head, end, body = asked.partition(b"\r\n\r\n")
        if end and len(body) >= int(_LENGTH.search(head)[1]):  # type: ignore[index]
            return asked
        piece = connection.recv(65_536)
        if not piece:
            raise OSError("half a request")
        asked += piece


@contextmanager
def raw_upstream() -> Iterator[RawUpstream]:
    made = RawUpstream()
    thread = threading.Thread(target=made.serve)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(10)
