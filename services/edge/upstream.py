"""The way out: one connection pool, explicit limits and timeouts, headers by allow list.

Our transport, called below httpx's interface, whose faults it raises: httpx's own client costs many
times as much under load. Nothing is taken from the environment, no redirect is followed, no cookie
kept, nothing decompressed.
"""

import asyncio
from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

import httpx
import orjson

from services.edge import faults
from services.edge.addresses import Place, checked
from services.edge.catalog import Provider
from services.edge.faults import UpstreamFailed
from services.edge.principal import Principal
from services.edge.transport import Exchange as Reply
from services.edge.transport import LeanTransport, Pool, Resolve, resolve, wire

MAX_ERROR_BODY = 1 << 20
MOST_WAYS = 1_000

_FORWARDED = (b"openai-beta",)
"""The only headers of the client's that travel on."""

_RETURNED = (b"openai-processing-ms", b"openai-version")
"""The only headers of the provider's that travel back, beside the content type."""


class Form(NamedTuple):
    """What many requests have in common. ``credential`` is the provider's key: the gateway's own
    or the organisation's; empty where Cloudflare has it."""

    base_url: str
    path: str
    credential: str
    media_type: bytes = b"application/json"
    stream: bool = False


class _Way(NamedTuple):
    """Where requests of one form go, and how they begin."""

    pool: Pool
    opening: bytes


class Upstream:
    """Opens answers. To be made inside the running loop. Addresses that are not public are
    reached in ``private`` only."""

    def __init__(self, private: Set[Place], *, resolve: Resolve = resolve) -> None:
        self._transport = LeanTransport(resolve=checked(resolve, private))
        self._ways: dict[Form, _Way] = {}

    async def close(self) -> None:
        await self._transport.aclose()

    async def send(
        self, provider: Provider, form: Form, own: list[tuple[bytes, bytes]], body: bytes
    ) -> Reply:
        """One attempt: the answer's status and headers, its body still to be read. ``own`` are the
        headers that no other request has. Raises UpstreamFailed for anything but a success,
        ``TimeoutError`` never."""
        length = (b"content-length", b"%d" % len(body))
        try:
            way = self._ways.get(form) or self._way(form)
            head = way.opening + wire.lines([*own, length]) + b"\r\n"
            reply = await self._transport.post(
                way.pool, head, body, connect=provider.connect_timeout
            )
        except (httpx.TransportError, OSError) as error:
            raise _failure(error) from error
        if reply.status == 200:
            return reply
        try:
            text = await _beginning(reply)
        finally:
            reply.give_up()
        retry_after = first_headers(reply).get(b"retry-after", b"").decode("latin-1")
        raise faults.refused(reply.status, text, retry_after, secret=provider.credential)

    def _way(self, form: Form) -> _Way:
        url = httpx.URL(form.base_url + form.path)
        headers = [
            (b"host", url.netloc),
            (b"content-type", form.media_type),
            (b"accept", b"text/event-stream" if form.stream else b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"ai-gateway"),
        ]
        if form.credential:
            headers.append((b"authorization", f"Bearer {form.credential}".encode()))
        opening = wire.opening("POST", url.raw_path, headers)
        if len(self._ways) >= MOST_WAYS:
            self._ways.clear()
        way = self._ways[form] = _Way(self._transport.pool(url), opening)
        return way


def own_headers(
    client: Iterable[tuple[bytes, bytes]], provider: Provider, request_id: str, principal: Principal
) -> list[tuple[bytes, bytes]]:
    """The headers that no other request has. Cloudflare's own logs shall know whose it is: ids,
    nothing that tells who that is, five entries at most."""
    headers = [(b"x-request-id", request_id.encode())]
    headers += [pair for pair in client if pair[0] in _FORWARDED]
    if provider.kind.startswith("cloudflare"):
        told = {
            "request_id": request_id,
            "org": principal.org_id,
            "user": principal.user_id,
            "key": principal.key_id,
        }
        headers += _cloudflare(provider, told, principal.allow_upstream_cache)
    return headers


def _cloudflare(
    provider: Provider, told: Mapping[str, str], cache: bool
) -> list[tuple[bytes, bytes]]:
    """Cached answers are shared by everybody behind one credential, so they are asked for only
    where the organisation wants it; its own retries would be billed behind the ledger's back."""
    headers = [
        (b"cf-aig-max-attempts", b"1"),
        (b"cf-aig-metadata", orjson.dumps(told)),
    ]
    if provider.kind == "cloudflare-rest":
        headers.append((b"cf-aig-gateway-id", provider.cloudflare_gateway.encode()))
    if not cache:
        headers.append((b"cf-aig-skip-cache", b"true"))
    if provider.kind == "cloudflare-compat" and provider.cloudflare_token:
        headers.append((b"cf-aig-authorization", f"Bearer {provider.cloudflare_token}".encode()))
    return headers


def first_headers(reply: Reply) -> dict[bytes, bytes]:
    """An answer's headers by their lower-case names, the first of each."""
    return {name.lower(): value for name, value in reversed(reply.headers)}


def returned_headers(told: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """What of an answer's headers may reach the client."""
    found = [(name, told[name]) for name in _RETURNED if name in told]
    upstream_id = told.get(b"x-request-id") or told.get(b"cf-ray")
    if upstream_id:
        found.append((b"x-gateway-upstream-request-id", upstream_id[:128]))
    return found


class transport_errors:
    """What the transport raises, as UpstreamFailed."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and isinstance(error, httpx.TransportError | OSError):
            raise _failure(error) from error


def _failure(error: httpx.TransportError | OSError) -> UpstreamFailed:
    """Only a failure to connect proves that the provider saw nothing."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return faults.not_connected()
    return faults.broken()


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
