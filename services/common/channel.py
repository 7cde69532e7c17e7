"""gRPC options that client and server must agree on."""

_PING_EVERY_MS = 30_000

CLIENT_OPTIONS: list[tuple[str, object]] = [
    ("grpc.keepalive_time_ms", _PING_EVERY_MS),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 1),
    # When one replica goes, its successor's address is wanted now, not in half a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]

SERVER_OPTIONS: list[tuple[str, object]] = [
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", _PING_EVERY_MS // 2),
    ("grpc.http2.max_ping_strikes", 4),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_concurrent_streams", 4_096),
]

SHARED_OPTIONS = [("grpc.so_reuseport", 1), *SERVER_OPTIONS[1:]]
"""For workers on a port that their parent holds (see ``workers``)."""


def is_local(address: str) -> bool:
    """Whether a ``host:port`` or ``unix:`` address is reachable from this machine only."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")
