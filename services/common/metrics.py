"""Prometheus metrics of a gRPC service, on a registry of the process's own."""

import time

from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from services.common.counted import Count, Counts, Levels, Spread, Spreads
from services.common.tls import expires

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


def new_registry() -> CollectorRegistry:
    """A registry with the process's CPU, memory, file descriptors and garbage collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class Calls:
    """Where the calls of one RPC are counted."""

    __slots__ = ("_running", "_seconds", "_succeeded")

    def __init__(self, running: Count, seconds: Spread, succeeded: Count) -> None:
        self._running = running
        self._seconds = seconds
        self._succeeded = succeeded

    def begin(self) -> float:
        """When it began, for ``end``."""
        self._running.value += 1
        return time.perf_counter()

    def end(self, began: float) -> None:
        self._running.value -= 1
        self._seconds.add(time.perf_counter() - began)

    def succeed(self) -> None:
        self._succeeded.value += 1


class RpcMetrics:
    """Calls of a server, by RPC and outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counts(
            "gateway_rpc_requests",
            "RPCs handled, by full method and reason (OK or an ErrorReason).",
            ["method", "reason"],
        )
        self.seconds = Spreads(
            "gateway_rpc_duration_seconds", "Time in the handler.", ["method"], bounds=_BUCKETS
        )
        self.running = Levels("gateway_rpc_in_flight", "RPCs running now.", ["method"])
        for counted in (self.calls, self.seconds, self.running):
            registry.register(counted)

    def of(self, method: str) -> Calls:
        """To be kept."""
        running, seconds = self.running.of(method), self.seconds.of(method)
        return Calls(running, seconds, self.calls.of(method, "OK"))


def expose(registry: CollectorRegistry, listen: str, *, certificate: str = "") -> None:
    """Serve ``/metrics`` on ``host:port`` from a thread; an empty ``listen`` serves none. With
    ``certificate``, a PEM file, they tell when it ends."""
    if certificate:
        ends = Gauge(
            "gateway_certificate_expires_timestamp_seconds",
            "When this process's certificate ends.",
            registry=registry,
        )
        ends.set_function(lambda: expires(certificate))
    if listen:
        host, _, port = listen.rpartition(":")
        start_http_server(int(port), addr=host or "127.0.0.1", registry=registry)
