"""Which addresses an upstream may have. Its name is checked when the catalog is read, and what the
name stands for at every connection: a resolver that changes its mind reaches nothing inside."""

import ipaddress
import re
from collections.abc import Callable, Set
from urllib.parse import urlsplit

import httpx

from services.common.logs import logger
from services.common.settings import SettingsError
from services.edge.transport import AddressInfo, Resolve

log = logger("addresses")

Place = tuple[str, int]
"""Host and port, as the catalog spells them."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
_INSIDE = re.compile(
    r"(^|\.)(localhost|local|internal|nip\.io|sslip\.io|localtest\.me)\.?$"
    r"|^(0x[0-9a-f]+|[0-9]+)$|^(0[0-9]+|0x[0-9a-f]+)\.|^[0-9]+(\.[0-9]+){1,2}$"
    r"|^[^.:]+\.?$",
    re.IGNORECASE,
)
"""Names that mean this machine or network, and spellings of addresses that resolvers take for
dotted ones."""
_HTTPS = 443
_FIRST_FREE_PORT = 1_024


def check_url(url: str, where: str, *, private: bool) -> None:
    """An upstream's base URL, which only the operator chose, must mean what it says. Raises
    SettingsError that begins with ``where``."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{where}: base_url {url!r} is no http(s) address")
    if parts.username is not None or parts.query or parts.fragment:
        raise SettingsError(f"{where}: base_url must have no user, query or fragment")
    try:
        port = parts.port or _HTTPS
    except ValueError:
        raise SettingsError(f"{where}: base_url has no valid port") from None
    if private:
        return
    meant = "say private = true if it is meant"
    if parts.scheme != "https":
        raise SettingsError(f"{where}: base_url must be https; {meant}")
    if port != _HTTPS and port < _FIRST_FREE_PORT:
        raise SettingsError(f"{where}: port {port} is another protocol's; {meant}")
    if _INSIDE.search(parts.hostname):
        raise SettingsError(f"{where}: {parts.hostname} is not the name of a public host; {meant}")
    if _is_address(parts.hostname) and not public(parts.hostname):
        raise SettingsError(f"{where}: {parts.hostname} is not public; {meant}")


def place(url: str) -> Place:
    """Where connections to a base URL go."""
    parsed = httpx.URL(url)
    return parsed.raw_host.decode("ascii"), parsed.port or (80 if parsed.scheme == "http" else 443)


def public(text: str) -> bool:
    """Whether an IP address is one of the open internet; one that carries another is as public as
    that."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return public(str(inner))
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class NotPublic(OSError):
    """The name of an upstream stands for an address inside."""


def checked(
    resolve: Resolve, private: Set[Place], public: Callable[[str], bool] = public
) -> Resolve:
    """``resolve``, but what is not in ``private`` must be public, every address of it: of a mixed
    answer nothing is used. The connection is made to what was checked, nothing is asked again."""

    async def resolved(host: str, port: int) -> list[AddressInfo]:
        found = await resolve(host, port)
        if (host, port) not in private:
            inside = [info[4][0] for info in found if not public(info[4][0])]
            if inside:
                log.warning("upstream_not_public", host=host, port=port, addresses=inside)
                raise NotPublic(f"{host} is at {inside[0]}, which is not public")
        return found

    return resolved
