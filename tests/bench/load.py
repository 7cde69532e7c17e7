"""``python -m tests.bench.load``: the load driver. Reads one Job as JSON on stdin, prints what it
saw as JSON on stdout."""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import uvloop

from tests.bench import traffic

_END = b"0\r\n\r\n"
_AGAIN_SECONDS = 0.05


@dataclass
class Job:
    """``connections`` each send their next request when the answer to the last one is there, for
    ``seconds``; with ``rate``, requests start at that pace per second instead. Nothing counts
    before ``warmup`` seconds."""

    host: str
    port: int
    key: str
    kind: str
    connections: int
    seconds: float
    warmup: float = 0.3
    rate: float = 0.0
    once: bool = False


@dataclass
class Seen:
    """Times in nanoseconds."""

    latencies: list[int] = field(default_factory=list)
    first_bytes: list[int] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)
    chunks: int = 0
    errors: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, job: Job, seen: Seen, run: "Run") -> None:
        self._stream = job.kind in traffic.STREAMS
        self._paced = job.kind in (traffic.PACED, traffic.SLOW)
        self._request = traffic.request(job.kind, host=f"{job.host}:{job.port}", key=job.key)
        self._seen = seen
        self._run = run
        self._busy = False
        self._left = -1
        self._held = b""
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        self._busy = True
        self._first = 0
        self._left = -1
        self._held = b""
        self._tail = b""
        self._began = time.monotonic_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._left == -1:
            data = self._held + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._held = data
                return
            head = data[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                self._refused(data)
                return
            at = head.find(b"content-length:")
            self._left = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else -2
            data = data[end + 4 :]
        if data and not self._first:
            self._first = now
        if self._stream and self._run.counting:
            self._seen.chunks += data.count(b"data: ")
            if self._paced:
                at = data.rfind(traffic.STAMP)
                stamp = (
                    data[at + len(traffic.STAMP) : at + 32].split(b",", 1)[0] if at >= 0 else b""
                )
                if stamp.isdigit():
                    self._seen.delays.append(now - int(stamp))
        if self._left >= 0:
            self._left -= len(data)
            ended = self._left <= 0
        else:
            self._tail = (self._tail + data)[-len(_END) :]
            ended = self._tail == _END
        if ended:
            self._ended(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy and not self._run.over:
            self._busy = False
            self._seen.errors += 1
        self._run.lost(self)

    def _ended(self, now: int) -> None:
        self._busy = False
        if self._run.counting:
            self._seen.latencies.append(now - self._began)
            self._seen.first_bytes.append(self._first - self._began)
        self._run.ended(self)

    def _refused(self, data: bytes) -> None:
        self._busy = False
        self._seen.errors += 1
        told = data.partition(b"\r\n\r\n")[2][:200].decode("latin-1")
        line = data[:32].split(b"\r\n")[0].decode("latin-1") + " " + told
        self._seen.refused[line] = self._seen.refused.get(line, 0) + 1
        self._transport.abort()


class Run:
    """The clock of a job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seen = Seen()
        self.counting = False
        self.over = False
        self.begun = 0
        self.counted_ns = 0
        self.free: list[Client] = []
        self.clients: list[Client] = []
        self.open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def ended(self, client: Client) -> None:
        if self.over:
            return
        if self.job.rate:
            self.free.append(client)
        elif not self.job.once:
            client.send()
        else:
            self.open -= 1

    def lost(self, client: Client) -> None:
        """Another connection takes its place, a moment later."""
        if self.over or self.job.rate or self.job.once:
            self.open -= 1
        else:
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._replace)

    def _replace(self) -> None:
        if not self.over:
            task = asyncio.get_running_loop().create_task(self._again())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _again(self) -> None:
        self.open -= 1
        client = await self.connect()
        self.clients.append(client)
        client.send()

    async def connect(self) -> Client:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: Client(self.job, self.seen, self), self.job.host, self.job.port
        )
        self.open += 1
        return client

    async def all(self) -> dict[str, object]:
        job = self.job
        loop = asyncio.get_running_loop()
        clients = self.clients
        for _ in range(job.connections):
            clients.append(await self.connect())
        self.counting = job.warmup == 0
        started = loop.time()
        if job.rate:
            self.free = list(clients)
            pace = asyncio.create_task(self._pace())
        elif job.once:
            pace = asyncio.create_task(self._spread(clients))
        else:
            pace = asyncio.create_task(asyncio.sleep(0))
            for client in clients:
                client.send()
        await asyncio.sleep(job.warmup)
        self.counting = True
        print("counting", file=sys.stderr, flush=True)
        began = loop.time()
        while loop.time() - started < job.warmup + job.seconds and self.open > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(0.05, job.seconds))
        self.counting = False
        print("counted", file=sys.stderr, flush=True)
        seconds = max(loop.time() - began, 0.001)
        self.over = True
        pace.cancel()
        for client in clients:
            client._transport.abort()
        return self.summary(seconds)

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += 1 / self.job.rate
            await asyncio.sleep(max(0, due - loop.time()))
            client = self.free.pop() if self.free else await self.connect()
            client.send()

    async def _spread(self, clients: list[Client]) -> None:
        """Start over the first second, not all in one turn of the loop."""
        for number, client in enumerate(clients):
            client.send()
            if number % 20 == 19:
                await asyncio.sleep(0.01)

    def summary(self, seconds: float) -> dict[str, object]:
        seen = self.seen
        return {
            "job": {**asdict(self.job), "key": ""},
            "seconds": seconds,
            "requests": len(seen.latencies),
            "errors": seen.errors,
            "refused": seen.refused,
            "rps": len(seen.latencies) / seconds,
            "chunks_per_s": seen.chunks / seconds,
            "latency_us": points(seen.latencies),
            "first_byte_us": points(seen.first_bytes),
            "delay_us": points(seen.delays),
        }


def points(times: list[int]) -> dict[str, float]:
    """Median, 99th percentile and mean, in microseconds."""
    if not times:
        return {"p50": 0.0, "p99": 0.0, "mean": 0.0}
    ordered = sorted(times)
    last = len(ordered) - 1
    return {
        "p50": ordered[last // 2] / 1_000,
        "p99": ordered[min(last, int(last * 0.99))] / 1_000,
        "mean": statistics.fmean(ordered) / 1_000,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(Run(Job(**json.load(sys.stdin))).all())))
