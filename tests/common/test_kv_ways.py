"""The other ways to a KV: Sentinel, TLS, logins; and URLs that cannot be understood."""

import asyncio
import datetime
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.common import certs
from services.common.errors import Unavailable
from services.common.kv import Kv, KvUnfit, kv_errors, open_kv, require_fit
from tests.system import kv_replicated
from tests.system.kv_replicated import Replicated


@pytest.fixture
def replicated() -> Iterator[Replicated]:
    with kv_replicated.running() as made:
        yield made


async def test_a_failover_is_followed_through_sentinel(replicated: Replicated) -> None:
    kv = open_kv(replicated.url, timeout_ms=300, connections=4)
    assert await require_fit(kv, unsafe=False) == []
    await asyncio.gather(*(kv.incr("spent") for _ in range(50)))
    await asyncio.to_thread(replicated.ask, replicated.primary, "WAIT", "1", "1000")
    await asyncio.to_thread(replicated.kill_primary)
    started = time.monotonic()
    while True:
        try:
            with kv_errors():
                spent = await kv.incr("spent")
            break
        except Unavailable:
            assert time.monotonic() - started < 15
            await asyncio.sleep(0.05)
    assert spent == 51
    assert await asyncio.to_thread(replicated.ask, replicated.replica, "GET", "spent") == "51"
    await kv.aclose()


@asynccontextmanager
async def behind_tls(path: str, own: Path) -> AsyncIterator[int]:
    """A port that ends TLS in front of a unix socket; the bundled server has none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own / "tls.crt", own / "tls.key")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_F5_the_way_to_the_kv_can_be_tls_and_is_checked(kv_url: str, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for name in ("ours", "other"):
        certs.make(tmp_path / name, now=now)
    path = kv_url.removeprefix("unix://")
    async with behind_tls(path, tmp_path / "ours" / "auth") as port:
        trusted = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ours/ca.crt"
        kv = open_kv(trusted, timeout_ms=1_000, connections=1)
        assert await kv.set("tls", "yes")
        await kv.aclose()
        foreign = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/other/ca.crt"
        kv = open_kv(foreign, timeout_ms=1_000, connections=1)
        with pytest.raises(Unavailable), kv_errors():
            await kv.get("tls")
        await kv.aclose()


class Fit(Kv):
    """Answers as a server that is fit."""

    async def info(self, *_: object, **__: object) -> dict[str, object]:
        return {"valkey_version": "9.1.2", "maxmemory_policy": "noeviction", "aof_enabled": 1}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://valkey:6379", "without a password"),
        ("redis://user:secret@valkey:6379", "not encrypted"),
        ("rediss://user:secret@valkey:6379", None),
        ("redis://127.0.0.1:6379", None),
        ("unix:///run/kv.sock", None),
    ],
)
async def test_F5_a_kv_on_the_network_needs_a_password(url: str, expected: str | None) -> None:
    kv = Fit(connection_pool=open_kv(url, timeout_ms=100, connections=1).connection_pool)
    if expected == "without a password":
        with pytest.raises(KvUnfit, match=expected):
            await require_fit(kv, unsafe=False)
    else:
        told = await require_fit(kv, unsafe=False)
        assert [expected in line for line in told if expected] == [True] * bool(expected)
        assert bool(told) is bool(expected)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379",
        "redis://127.0.0.1:port",
        "redis+sentinel://127.0.0.1:26379",
        "redis+cluster://127.0.0.1:6379/x",
        "valkey",
    ],
)
def test_a_url_that_cannot_be_understood_is_told(url: str) -> None:
    with pytest.raises(KvUnfit, match="REDIS_URL"):
        open_kv(url, timeout_ms=100, connections=1)
