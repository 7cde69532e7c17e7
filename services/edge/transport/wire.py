"""A request as bytes; what the headers of an answer say about its end."""

from collections.abc import Awaitable, Callable, Iterable

import httpx

Header = tuple[bytes, bytes]


def head(method: str, path: bytes, headers: Iterable[Header]) -> bytes:
    """Request line and headers, with the empty line. Raises httpx.LocalProtocolError when a part
    would break out of its line."""
    return opening(method, path, headers) + b"\r\n"


def opening(method: str, path: bytes, headers: Iterable[Header]) -> bytes:
    """The same without the empty line: more ``lines`` may follow."""
    return _checked([b"%b %b HTTP/1.1\r\n" % (method.encode("ascii"), path), *_lines(headers)])


def lines(headers: Iterable[Header]) -> bytes:
    """Headers, each with its end. Raises as ``head``."""
    return _checked(_lines(headers))


def _lines(headers: Iterable[Header]) -> list[bytes]:
    return [b"%b: %b\r\n" % pair for pair in headers]


def _checked(parts: list[bytes]) -> bytes:
    text = b"".join(parts)
    breaks = len(parts)
    if text.count(b"\n") != breaks or text.count(b"\r") != breaks or b"\0" in text:
        raise httpx.LocalProtocolError("a header or the path holds a line break")
    return text


def body(request: httpx.Request) -> bytes | None:
    """The body, when it is at hand; None when it is a stream still to be read."""
    return b"".join(request.stream) if isinstance(request.stream, httpx.ByteStream) else None


async def send_stream(
    request: httpx.Request, write: Callable[[bytes], None], drain: Callable[[], Awaitable[None]]
) -> None:
    """Write the body of ``request`` as it becomes available.

    Raises httpx.LocalProtocolError when it is not as long as its content-length says.
    """
    if not isinstance(request.stream, httpx.AsyncByteStream):
        raise httpx.LocalProtocolError("the request's stream is not an asynchronous one")
    told = request.headers.get("content-length")
    left = int(told) if told is not None else None
    async for data in request.stream:
        if left is not None:
            left -= len(data)
            if left < 0:
                raise httpx.LocalProtocolError("the body is longer than its content-length")
            write(data)
        elif data:
            write(b"%x\r\n%b\r\n" % (len(data), data))
        await drain()
    if left:
        raise httpx.LocalProtocolError("the body is shorter than its content-length")
    if left is None:
        write(b"0\r\n\r\n")


def ends_with_connection(status: int, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the body lasts until the server closes, as neither length nor chunks delimit it."""
    if status in (204, 304):
        return False
    found = {name.lower(): value for name, value in headers}
    if b"transfer-encoding" in found:
        return not found[b"transfer-encoding"].lower().rstrip().endswith(b"chunked")
    return b"content-length" not in found
