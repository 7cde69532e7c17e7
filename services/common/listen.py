"""A listening TCP socket, bound before anything else starts, so that a busy port is told early."""

import socket

from services.common.settings import SettingsError

BACKLOG = 2_048


def bound(listen: str) -> socket.socket:
    """A socket that listens on ``host:port``; port 0 picks a free one. Raises SettingsError.

    Its protocol is given by number: asyncio switches Nagle's algorithm off only where it sees
    TCP, and without that every answer in two writes waits 40 ms for the peer's acknowledgement.
    """
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host.strip("[]"), int(port)))
        made.listen(BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        made.close()
        problem = getattr(error, "strerror", None) or error
        raise SettingsError(f"cannot listen on {listen}: {problem}") from error
    return made
