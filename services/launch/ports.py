"""Addresses: parse them, and say in one line which variable to change when a port is taken."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack

from services.common.settings import SettingsError


def host_and_port(variable: str, address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port``. Port 0 is refused: the other processes could not find it."""
    host, _, port = address.strip().rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise SettingsError(f"{variable} is {address!r}: write host:port, like 127.0.0.1:8787")
    return host.strip("[]"), int(port)


def reachable(variable: str, listen: str) -> str:
    """The address under which a process on this machine reaches one that listens on ``listen``
    (of several addresses, separated by commas, the first)."""
    first = listen.split(",")[0].strip()
    if first.startswith("unix:"):
        return first
    host, port = host_and_port(variable, first)
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{local}]:{port}" if ":" in local else f"{local}:{port}"


def require_free(listens: Mapping[str, str]) -> None:
    """Raises SettingsError for the first variable whose address cannot be bound now, also when
    two of them name the same port. An empty address is not used."""
    with ExitStack() as held:
        for variable, listen in listens.items():
            for address in filter(None, (part.strip() for part in listen.split(","))):
                if not address.startswith("unix:"):
                    held.enter_context(_bound(variable, *host_and_port(variable, address)))


def _bound(variable: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        # As servers do, so that connections lingering in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
    except OSError as error:
        probe.close()
        reason = "is taken" if "in use" in str(error) else f"cannot be used ({error.strerror})"
        raise SettingsError(
            f"port {port} on {host} {reason}: stop what uses it, "
            f"or set {variable}={host}:<another port>"
        ) from None
    return probe
