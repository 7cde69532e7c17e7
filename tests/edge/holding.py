"""A provider that answers at once and then never ends the body."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ANSWER = (
    b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1,'
    b'"total_tokens":5}}\n\n'
    b"data: [DONE]\n\n"
)
_RESPONSE = (
    b'data: {"type":"response.created","response":{"id":"x","status":"in_progress"}}\n\n'
    b'data: {"type":"response.output_text.delta","delta":"Hi and more","output_index":0}\n\n'
    b'data: {"type":"response.completed","response":{"id":"x","status":"completed",'
    b'"usage":{"input_tokens":4,"output_tokens":1,"total_tokens":5}}}\n\n'
)


@contextmanager
def holding_provider() -> Iterator[str]:
    """Its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.close()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        answer = _RESPONSE if b"/responses " in connection.recv(65_536) else _ANSWER
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(answer), answer)
        )
        while connection.recv(65_536):
            pass
