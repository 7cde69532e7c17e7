"""The way out: one connection pool, explicit limits and timeouts, headers by allow list.

httpx's transport interface, called at the level of the transport: httpx's own client costs many
times as much under load. Nothing is taken from the environment, no redirect is followed, no cookie
kept, nothing decompressed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

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
        self._urls: dict[tuple[str, str], httpx.URL] = {}

    async def close(self) -> None:
        await self._transport.aclose()

    async def send(
        self, provider: Provider, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> httpx.Response:
        """One attempt: the answer's status and headers, its body still to be read. Raises
        UpstreamFailed for anything but a success, ``TimeoutError`` never."""
        request = httpx.Request(
            "POST",
            self._url(provider.base_url, path),
            headers=headers,
            content=body,
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

    def _url(self, base: str, path: str) -> httpx.URL:
        url = self._urls.get((base, path))
        if url is None:
            url = self._urls[base, path] = httpx.URL(base + path)
        return url


def request_headers(
    client: list[tuple[bytes, bytes]],
    provider: Provider,
    credential: str,
    *,
    request_id: str,
    stream: bool,
    cache: bool,
) -> list[tuple[bytes, bytes]]:
    """The headers of an upstream request. ``credential`` is the provider's key: the gateway's own
    or the organisation's; empty where Cloudflare has it."""
    accept = b"text/event-stream" if stream else b"application/json"
    headers = [
        (b"content-type", b"application/json"),
        (b"accept", accept),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"ai-gateway"),
        (b"x-request-id", request_id.encode()),
        *((name, value) for name, value in client if name in _FORWARDED),
    ]
    if provider.kind == "cloudflare-rest":
        credential = provider.cloudflare_token
        headers.append((b"cf-aig-gateway-id", provider.cloudflare_gateway.encode()))
    if credential:
        headers.append((b"authorization", f"Bearer {credential}".encode()))
    if provider.kind.startswith("cloudflare"):
        headers += _cloudflare(provider, request_id, cache)
    return headers


def _cloudflare(provider: Provider, request_id: str, cache: bool) -> list[tuple[bytes, bytes]]:
    """Cached answers are shared by everybody behind one credential, so they are asked for only
    where the organisation wants it; its own retries would be billed behind the ledger's back."""
    headers = [
        (b"cf-aig-max-attempts", b"1"),
        (b"cf-aig-metadata", orjson.dumps({"request_id": request_id})),
    ]
    if not cache:
        headers.append((b"cf-aig-skip-cache", b"true"))
    if provider.kind == "cloudflare-compat" and provider.cloudflare_token:
        headers.append((b"cf-aig-authorization", f"Bearer {provider.cloudflare_token}".encode()))
    return headers


def response_headers(response: httpx.Response) -> dict[str, str]:
    """What of an answer's headers may reach the client."""
    found = {name: response.headers[name] for name in _RETURNED if name in response.headers}
    upstream_id = response.headers.get("x-request-id") or response.headers.get("cf-ray")
    if upstream_id:
        found["x-gateway-upstream-request-id"] = upstream_id[:128]
    return found


@contextmanager
def transport_errors() -> Iterator[None]:
    """What the transport raises, as UpstreamFailed. Only a failure to connect proves that the
    provider saw nothing."""
    try:
        yield
    except (httpx.TransportError, OSError) as error:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            raise faults.not_connected() from error
        raise faults.broken() from error


@asynccontextmanager
async def chunks(response: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body as it comes. The connection goes back to the pool when the body was read to its
    end, and is closed otherwise."""
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        yield aiter(stream)
    finally:
        await close_quietly(response)


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
