"""Prometheus metrics of a gRPC service, on a registry of the process's own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from services.common.tls import expires

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


def new_registry() -> CollectorRegistry:
    """A registry with the process's CPU, memory, file descriptors and garbage collections."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class RpcMetrics:
    """Calls of a server, by RPC and outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "gateway_rpc_requests",
            "RPCs handled, by full method and reason (OK or an ErrorReason).",
            ["method", "reason"],
            registry=registry,
        )
        self.seconds = Histogram(
            "gateway_rpc_duration_seconds",
            "Time in the handler.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.running = Gauge(
            "gateway_rpc_in_flight", "RPCs running now.", ["method"], registry=registry
        )


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
