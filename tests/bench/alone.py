"""``python -m tests.bench.alone [json|sse]``: what the edge's own work costs, by itself.

One process, no network: requests are put into the HTTP protocol, the provider's bytes into the
upstream connection; the ledger answers at once. Everything between is the real thing, journal on
disk included. CPU time of this process, the least of several turns.
"""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import structlog
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from gateway.quota.v1 import quota_pb2 as pb
from services.common import logs, secret
from services.common.process import SWITCH_SECONDS, settle_heap
from services.edge import app
from services.edge.admission import Admission
from services.edge.bulk import Bulk
from services.edge.call import Rooms
from services.edge.catalog import load_catalog
from services.edge.clients import AuthClient, QuotaClient
from services.edge.dispatch import Dispatch
from services.edge.grace import Grace
from services.edge.grace_book import GraceBook
from services.edge.grace_clock import Clock
from services.edge.health import Readiness
from services.edge.ledger import Ledger
from services.edge.limits import LimitedProtocol
from services.edge.metrics import EdgeMetrics
from services.edge.outbox import Outbox
from services.edge.principal import Principal
from services.edge.principals import Principals
from services.edge.running import Running
from services.edge.settings import EdgeSettings
from services.edge.transport.connection import Connection
from services.edge.transport.pool import Pool
from services.edge.upstream import Upstream
from tests.bench import traffic
from tests.bench.stage import CATALOG

CONNECTIONS = 32
UNIT = 100
"""Additions in Python that make a unit: how fast the machine is at the moment."""


def unit_us() -> float:
    began = time.process_time()
    total = 0
    for number in range(3_000 * UNIT):
        total += number
    return (time.process_time() - began) / 3_000 * 1e6


class Wire(asyncio.Transport):
    """One end of a connection that is none: ``sent`` hears what is written to it."""

    def __init__(self, sent: Callable[[bytes], None]) -> None:
        super().__init__()
        self._sent = sent
        self._ends = socket.socketpair()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._ends[0] if name == "socket" else default

    def write(self, data: Any) -> None:
        self._sent(data)

    def writelines(self, parts: Any) -> None:
        self._sent(b"".join(parts))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class Ready:
    """A ledger and an auth that answer at once."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    async def verify(self, key_hash: str) -> Principal:
        return self._principal

    async def reserve(self, item: pb.ReserveItem) -> pb.ReserveResult:
        grant = pb.Grant(
            held_nano_usd=1_000_000,
            output_tokens=item.bound.output_tokens,
            month="2026-11",
            admit_time_ms=1_760_000_000_000,
            state=pb.RESERVATION_STATE_RESERVED,
        )
        return pb.ReserveResult(grant=grant, revision=self._principal.revision)

    async def settle(self, items: Sequence[pb.SettleItem]) -> Sequence[pb.SettleResult]:
        await asyncio.sleep(0.002)
        return [pb.SettleResult() for _ in items]

    async def checkpoint(self, items: Sequence[pb.CheckpointItem]) -> Any:
        raise NotImplementedError


class Provider:
    """Answers on a connection's other end, a chunk in each turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: bool) -> None:
        self._loop = loop
        self._stream = stream
        self.connection: Connection

    def asked(self, _: bytes) -> None:
        answer = traffic.SSE_HEAD if self._stream else traffic.JSON_RESPONSE
        self._loop.call_soon(self._tell, answer, traffic.CHUNKS if self._stream else 0)

    def _tell(self, data: bytes, left: int) -> None:
        self.connection.data_received(data)
        if left:
            self._loop.call_soon(self._tell, traffic.event(0, last=left == 1), left - 1)


class Client:
    """Asks again as soon as an answer is whole."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: LimitedProtocol, kind: str):
        self._loop = loop
        self._protocol = protocol
        self._stream = kind in traffic.STREAMS
        self._left = 0
        self.request = b""
        self.done = asyncio.Event()
        self.writes = 0
        protocol.connection_made(Wire(self._heard))

    def begin(self, requests: int) -> None:
        self._left = requests
        self.done.clear()
        self._loop.call_soon(self._protocol.data_received, self.request)

    def _heard(self, data: bytes) -> None:
        self.writes += 1
        ended = data.endswith(b"0\r\n\r\n") if self._stream else data.endswith(b"}")
        if not ended:
            return
        assert self.writes > 1 or b" 200 OK" in data[:20], data
        self._left -= 1
        if self._left > 0:
            self._loop.call_soon(self._protocol.data_received, self.request)
        else:
            self.done.set()


def application(directory: Path, principal: Principal) -> Any:
    settings = EdgeSettings(
        _env_file=None, catalog=CATALOG, openai_base_url="http://127.0.0.1:9/v1",
        openai_api_key="bench", default_provider="bench", service_token="s" * 40,
    )  # fmt: skip
    ready = Ready(principal)
    quota = cast(QuotaClient, ready)
    counts = EdgeMetrics(CollectorRegistry())
    outbox = Outbox(directory, ready.settle, counts)
    grace = Grace(
        GraceBook(), None, outbox, cast(Any, None), edge_id="edge", counted=lambda _: None,
        clock=Clock(),
    )  # fmt: skip
    ledger = Ledger(quota, grace)
    principals = Principals(cast(AuthClient, ready))
    catalog = load_catalog(settings)
    bulk = Bulk()
    rooms = Rooms(
        admission=Admission(principals, quota, grace),
        catalog=catalog,
        dispatch=Dispatch(Upstream(catalog.private()), catalog, principals, ledger, counts, bulk),
        running=Running(ledger.checkpoint, every=60),
        settlements=grace,
        bulk=bulk,
        max_body=settings.max_body_bytes,
        first_window=settings.first_window_tokens,
    )
    return app.build(rooms, quota, Readiness({}), counts)


def short_cut(stream: bool) -> None:
    """New upstream connections lead to a Provider."""

    async def open_(pool: Any, seconds: float | None) -> Connection:
        connection = Connection(pool._loop, pool._free, pool._gone)
        pool._all.add(connection)
        provider = Provider(pool._loop, stream)
        provider.connection = connection
        connection.connection_made(Wire(provider.asked))
        return connection

    Pool._open = open_  # type: ignore[assignment, method-assign]


async def measure(kind: str, directory: Path, turns: int, requests: int, profile: Any) -> None:
    loop = asyncio.get_running_loop()
    key = secret.mint(secret.API_KEY)
    principal = Principal(
        org_id="org_0123456789abcdefghij",
        user_id="user_0123456789abcdefghij",
        key_id="key_0123456789abcdefghij",
        revision=3,
        failure_mode="fail-closed",
    )
    short_cut(kind in traffic.STREAMS)
    config = uvicorn.Config(
        application(directory, principal), http=LimitedProtocol, interface="asgi3",
        ws="none", lifespan="off", access_log=False, log_config=None, log_level="error",
        server_header=False, proxy_headers=False, timeout_keep_alive=75,
    )  # fmt: skip
    config.load()
    state = ServerState()
    clients = [
        Client(loop, LimitedProtocol(config, state, {}, _loop=loop), kind)
        for _ in range(CONNECTIONS)
    ]
    for client in clients:
        client.request = traffic.request(kind, host="127.0.0.1:80", key=key)
    each = max(1, requests // CONNECTIONS)
    taken: list[float] = []
    ratios: list[float] = []
    for turn in range(turns + 1):
        if turn == 1:
            settle_heap()
            if profile:
                profile.enable()
        began = time.process_time()
        for client in clients:
            client.begin(each)
        for client in clients:
            await client.done.wait()
        if turn:
            taken.append((time.process_time() - began) / (each * CONNECTIONS) * 1e6)
            ratios.append(taken[-1] / unit_us())
    if profile:
        profile.disable()
    taken.sort()
    ratios.sort()
    middle = len(taken) // 2
    print(
        f"{kind}: at least {taken[0]:.1f} us, median {taken[middle]:.1f}; in units of {UNIT} "
        f"additions: at least {ratios[0]:.2f}, median {ratios[middle]:.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.alone", description=__doc__)
    parser.add_argument("kind", nargs="?", default="json", choices=["json", "sse"])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--requests", type=int, default=1_600, help="in a turn")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    kind = traffic.JSON if options.kind == "json" else traffic.SSE
    logs.configure("edge", "info", "json")
    nowhere = Path(os.devnull).open("ab")  # noqa: SIM115
    structlog.configure(logger_factory=logs.LinesFactory(nowhere))
    profile = None
    if options.profile:
        import cProfile

        profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(measure(kind, Path(directory), options.turns, options.requests, profile))
    if profile:
        import pstats

        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(150)


if __name__ == "__main__":
    main()
