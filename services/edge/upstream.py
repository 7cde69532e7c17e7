"""The way out: one connection pool, explicit limits and timeouts, headers by allow list.

Our transport, called below httpx's interface, whose faults it raises: httpx's own client costs many
times as much under load. Nothing is taken from the environment, no redirect is followed, no cookie
kept, nothing decompressed.
"""

import asyncio
from collections.abc import Mapping, Set
from typing import NamedTuple

import httpx
import orjson

from services.edge import faults
from services.edge.addresses import Place, checked
from services.edge.catalog import Provider
from services.edge.transport import Exchange as Reply
from services.edge.transport import LeanTransport, Resolve, resolve

MAX_ERROR_BODY = 1 << 20

_FORWARDED = (b"openai-beta",)
"""The only headers of the client's that travel on."""

_RETURNED = ("openai-processing-ms", "openai-version")
"""The only headers of the provider's that travel back, beside the content type."""


class _Place(NamedTuple):
    url: httpx.URL
    host: tuple[bytes, bytes]


class Upstream:
    """Opens answers. To be made inside the running loop. Addresses that are not public are
    reached in ``private`` only."""

    def __init__(self, private: Set[Place], *, resolve: Resolve = resolve) -> None:
        self._transport = LeanTransport(resolve=checked(resolve, private))
        self._places: dict[tuple[str, str], _Place] = {}

    async def close(self) -> None:
        await self._transport.aclose()

    async def send(
        self, provider: Provider, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> Reply:
        """One attempt: the answer's status and headers, its body still to be read. Raises
        UpstreamFailed for anything but a success, ``TimeoutError`` never."""
        place = self._places.get((provider.base_url, path)) or self._place(provider, path)
        told = [place.host, *headers, (b"content-length", b"%d" % len(body))]
        connect = provider.connect_timeout
        with transport_errors():
            reply = await self._transport.post(place.url, told, body, connect=connect)
        if reply.status == 200:
            return reply
        try:
            text = await _beginning(reply)
        finally:
            reply.give_up()
        retry_after = plain_headers(reply).get("retry-after", "")
        raise faults.refused(reply.status, text, retry_after, secret=provider.credential)

    def _place(self, provider: Provider, path: str) -> _Place:
        url = httpx.URL(provider.base_url + path)
        place = self._places[provider.base_url, path] = _Place(url, (b"host", url.netloc))
        return place


def request_headers(
    client: list[tuple[bytes, bytes]],
    provider: Provider,
    credential: str,
    *,
    told: Mapping[str, str],
    stream: bool,
    cache: bool,
    media_type: bytes = b"application/json",
) -> list[tuple[bytes, bytes]]:
    """The headers of an upstream request. ``credential`` is the provider's key: the gateway's own
    or the organisation's; empty where Cloudflare has it. ``told`` is the request's id
    (``request_id``) and what else Cloudflare's logs shall know: five entries at most."""
    accept = b"text/event-stream" if stream else b"application/json"
    headers = [
        (b"content-type", media_type),
        (b"accept", accept),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"ai-gateway"),
        (b"x-request-id", told["request_id"].encode()),
        *((name, value) for name, value in client if name in _FORWARDED),
    ]
    if provider.kind == "cloudflare-rest":
        credential = provider.cloudflare_token
        headers.append((b"cf-aig-gateway-id", provider.cloudflare_gateway.encode()))
    if credential:
        headers.append((b"authorization", f"Bearer {credential}".encode()))
    if provider.kind.startswith("cloudflare"):
        headers += _cloudflare(provider, told, cache)
    return headers


def _cloudflare(
    provider: Provider, told: Mapping[str, str], cache: bool
) -> list[tuple[bytes, bytes]]:
    """Cached answers are shared by everybody behind one credential, so they are asked for only
    where the organisation wants it; its own retries would be billed behind the ledger's back."""
    headers = [
        (b"cf-aig-max-attempts", b"1"),
        (b"cf-aig-metadata", orjson.dumps(dict(told))),
    ]
    if not cache:
        headers.append((b"cf-aig-skip-cache", b"true"))
    if provider.kind == "cloudflare-compat" and provider.cloudflare_token:
        headers.append((b"cf-aig-authorization", f"Bearer {provider.cloudflare_token}".encode()))
    return headers


def plain_headers(reply: Reply) -> dict[str, str]:
    """An answer's headers by their lower-case names, the first of each."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in reversed(reply.headers)
    }


def returned_headers(told: Mapping[str, str]) -> dict[str, str]:
    """What of an answer's headers may reach the client."""
    found = {name: told[name] for name in _RETURNED if name in told}
    upstream_id = told.get("x-request-id") or told.get("cf-ray")
    if upstream_id:
        found["x-gateway-upstream-request-id"] = upstream_id[:128]
    return found


class transport_errors:
    """What the transport raises, as UpstreamFailed. Only a failure to connect proves that the
    provider saw nothing."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            raise faults.not_connected() from error
        if isinstance(error, httpx.TransportError | OSError):
            raise faults.broken() from error


async def _beginning(reply: Reply) -> bytes:
    """An error's body, as far as anybody will read it."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(10):
            async for piece in reply:
                pieces.append(piece)
                size += len(piece)
                if size > MAX_ERROR_BODY:
                    break
    except (TimeoutError, httpx.TransportError, OSError):
        pass  # the status says enough
    return b"".join(pieces)
