"""Listening TCP sockets, bound before anything else starts, so that a busy port is told early."""

import contextlib
import socket
from collections.abc import Iterator

from services.common.settings import SettingsError

BACKLOG = 2_048


def bound(listen: str, *, shared: bool = False) -> socket.socket:
    """A socket that listens on ``host:port``; port 0 picks a free one. ``shared`` is for a port
    that the parent of several workers holds by ``reserved``. Raises SettingsError.

    Its protocol is given by number: asyncio switches Nagle's algorithm off only where it sees
    TCP, and without that every answer in two writes waits 40 ms for the peer's acknowledgement.
    """
    made = _socket(listen)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with _told(made, listen):
        _bind(made, listen)
        made.listen(BACKLOG)
    return made


def reserved(listen: str) -> socket.socket:
    """A socket that holds ``host:port`` without listening: the port is nobody's but of those who
    ask to share it, one user's processes with SO_REUSEPORT. Raises SettingsError.

    It asks for that itself only when it has the port: of two that hold, the second is refused.
    """
    made = _socket(listen)
    with _told(made, listen):
        _bind(made, listen)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made


def _socket(listen: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.rpartition(":")[0] else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _bind(made: socket.socket, listen: str) -> None:
    host, _, port = listen.rpartition(":")
    made.bind((host.strip("[]"), int(port)))


@contextlib.contextmanager
def _told(made: socket.socket, listen: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, OverflowError) as error:
        made.close()
        problem = getattr(error, "strerror", None) or error
        raise SettingsError(f"cannot listen on {listen}: {problem}") from error
