"""The way out: one connection pool, explicit limits and timeouts, headers by allow list.

httpx's transport interface, called at the level of the transport: httpx's own client costs many
times as much under load. Nothing is taken from the environment, no redirect is followed, no cookie
kept, nothing decompressed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import httpx
import orjson

from services.edge import faults
from services.edge.catalog import Provider
from services.edge.transport import LeanTransport

MAX_ERROR_BODY = 1 << 20

_FORWARDED = (b"openai-beta",)
"""The only headers of the client's that travel on."""

_RETURNED = ("openai-processing-ms", "openai-version")
"""The only headers of the provider's that travel back, beside the content type."""


class Upstream:
    """Opens answers. To be made inside the running loop."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport or LeanTransport()
        self._places: dict[tuple[str, str], tuple[httpx.URL, tuple[bytes, bytes]]] = {}

    async def close(self) -> None:
        await self._transport.aclose()

    async def send(
        self, provider: Provider, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> httpx.Response:
        """One attempt: the answer's status and headers, its body still to be read. Raises
        UpstreamFailed for anything but a success, ``TimeoutError`` never."""
        url, host = self._place(provider.base_url, path)
        request = httpx.Request(
            "POST",
            url,
            # Whole as it is: given a content, httpx would look for what is missing, at some cost.
            headers=[host, *headers, (b"content-length", b"%d" % len(body))],
            stream=httpx.ByteStream(body),
            extensions={
                "timeout": {"connect": provider.connect_timeout, "pool": provider.connect_timeout}
            },
        )
        with transport_errors():
            response = await self._transport.handle_async_request(request)
        if response.status_code == 200:
            return response
        try:
            text = await _beginning(response)
        finally:
            await close_quietly(response)
        retry_after = response.headers.get("retry-after", "")
        raise faults.refused(response.status_code, text, retry_after, secret=provider.credential)

    def _place(self, base: str, path: str) -> tuple[httpx.URL, tuple[bytes, bytes]]:
        """The URL and its host header."""
        place = self._places.get((base, path))
        if place is None:
            url = httpx.URL(base + path)
            place = self._places[base, path] = url, (b"host", url.netloc)
        return place


def request_headers(
    client: list[tuple[bytes, bytes]],
    provider: Provider,
    credential: str,
    *,
    told: Mapping[str, str],
    stream: bool,
    cache: bool,
) -> list[tuple[bytes, bytes]]:
    """The headers of an upstream request. ``credential`` is the provider's key: the gateway's own
    or the organisation's; empty where Cloudflare has it. ``told`` is the request's id
    (``request_id``) and what else Cloudflare's logs shall know: five entries at most."""
    accept = b"text/event-stream" if stream else b"application/json"
    headers = [
        (b"content-type", b"application/json"),
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


def plain_headers(response: httpx.Response) -> dict[str, str]:
    """An answer's headers by their lower-case names, the first of each."""
    found: dict[str, str] = {}
    for name, value in response.headers.raw:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found


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


def opened(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes. ``close_quietly`` gives the connection back when the body was read to
    its end, and closes it otherwise."""
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    return aiter(stream)


async def close_quietly(response: httpx.Response) -> None:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    with contextlib.suppress(httpx.TransportError, OSError):
        await stream.aclose()  # it is closed either way


async def _beginning(response: httpx.Response) -> bytes:
    """An error's body, as far as anybody will read it."""
    pieces: list[bytes] = []
    size = 0
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        async with asyncio.timeout(10):
            async for piece in stream:
                pieces.append(piece)
                size += len(piece)
                if size > MAX_ERROR_BODY:
                    break
    except (TimeoutError, httpx.TransportError, OSError):
        pass  # the status says enough
    return b"".join(pieces)
