"""Which processes there are, what they are told, and when they count as healthy."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from services.common import probe
from services.common.settings import require_secret
from services.common.tls import Identity
from services.common.workers import metrics_address
from services.launch.crew import Plan
from services.launch.data import KEY_FILES, kept_key
from services.launch.kv import ALLOCATOR, SOCKET_PATH_BYTES, KvServer, answers
from services.launch.ports import reachable
from services.launch.settings import LaunchSettings

_KV_GRACE_SECONDS = 30.0
_MARGIN_SECONDS = 5.0


def listens(settings: LaunchSettings) -> dict[str, str]:
    """Every address that will be listened on, by its variable."""
    used = {
        "GATEWAY_EDGE_LISTEN": settings.edge_listen,
        "GATEWAY_AUTH_LISTEN": settings.auth_listen,
        "GATEWAY_QUOTA_LISTEN": settings.quota_listen,
        "GATEWAY_EDGE_METRICS_LISTEN": settings.edge_metrics,
        "GATEWAY_AUTH_METRICS_LISTEN": settings.auth_metrics,
        "GATEWAY_QUOTA_METRICS_LISTEN": settings.quota_metrics,
    }
    if not settings.upstream:
        used["GATEWAY_SIMULATOR_LISTEN"] = settings.simulator_listen
    return used


def taken(settings: LaunchSettings) -> dict[str, str]:
    """The same with the metrics of every worker, several addresses with commas."""
    counts = {
        "GATEWAY_EDGE_METRICS_LISTEN": settings.edge_workers,
        "GATEWAY_AUTH_METRICS_LISTEN": settings.auth_workers,
        "GATEWAY_QUOTA_METRICS_LISTEN": settings.quota_workers,
    }
    return {
        name: ",".join(metrics_address(listen, n + 1) for n in range(counts.get(name, 1)))
        for name, listen in listens(settings).items()
    }


def environment(
    settings: LaunchSettings,
    inherited: Mapping[str, str],
    *,
    redis_url: str,
    terminal: bool,
    sockets: Path | None = None,
) -> dict[str, str]:
    """What the services are told: what we were told, and what we decided. Makes the keys that
    nobody set. Raises SettingsError for a weak one. With a directory for ``sockets``, the edge
    speaks to auth and quota over unix sockets in it."""
    told = {
        **listens(settings),
        "PYTHONUNBUFFERED": "1",
        "GATEWAY_DATA_DIR": str(settings.data_dir.absolute()),
        "REDIS_URL": redis_url,
        "GATEWAY_AUTH_TARGET": settings.auth_target
        or reachable("GATEWAY_AUTH_LISTEN", settings.auth_listen),
        "GATEWAY_QUOTA_TARGET": settings.quota_target
        or reachable("GATEWAY_QUOTA_LISTEN", settings.quota_listen),
    }
    if sockets is not None:
        told |= _by_socket(settings, sockets)
    if not settings.upstream:
        simulator = reachable("GATEWAY_SIMULATOR_LISTEN", settings.simulator_listen)
        told["GATEWAY_SIMULATOR_URL"] = settings.simulator_url or f"http://{simulator}/v1"
    if terminal and settings.log_format == "auto":
        told["GATEWAY_LOG_FORMAT"] = "console"
    given = {
        "ADMIN_API_KEY": settings.admin_api_key,
        "GATEWAY_SERVICE_TOKEN": settings.service_token,
        "GATEWAY_MASTER_KEY": settings.master_key,
    }
    for variable, secret in given.items():
        if secret.get_secret_value():
            told[variable] = require_secret(variable, secret)
        else:
            told[variable] = kept_key(settings.data_dir.absolute() / KEY_FILES[variable])
    return {**inherited, **told}


def _by_socket(settings: LaunchSettings, directory: Path) -> dict[str, str]:
    """Who listens on a unix socket, too, and is reached there: those whose place nobody chose.
    Certificates are for the network, so with certificates the network it is; several workers share
    a port, but cannot share a socket."""
    told = {}
    places = (
        ("AUTH", settings.auth_listen, settings.auth_target, settings.auth_workers),
        ("QUOTA", settings.quota_listen, settings.quota_target, settings.quota_workers),
    )
    for name, listen, target, workers in places:
        path = directory / f"{name.lower()}.sock"
        short = len(os.fsencode(path)) <= SOCKET_PATH_BYTES
        if short and workers == 1 and not target and not settings.tls_cert:
            told[f"GATEWAY_{name}_LISTEN"] = f"{listen},unix:{path}"
            told[f"GATEWAY_{name}_TARGET"] = f"unix:{path}"
    return told


def kv_plan(server: KvServer, directory: Path, socket_path: Path, lock: int) -> Plan:
    return Plan(
        name="kv",
        command=server.command(directory, socket_path),
        environment=ALLOCATOR,
        healthy=lambda: answers(socket_path),
        grace=_KV_GRACE_SECONDS,
        inherit=[lock],
        quiet_start=True,
    )


def grpc_plan(name: str, target: str, settings: LaunchSettings, told: dict[str, str]) -> Plan:
    """auth or quota; with certificates where the services have some."""
    tls = (settings.tls_cert, settings.tls_key, settings.tls_ca)
    identity = Identity(*tls) if all(tls) else None
    return Plan(
        name=name,
        command=[sys.executable, "-m", f"services.{name}"],
        environment=told,
        healthy=lambda: probe.serving(target, identity=identity),
        grace=settings.drain_seconds + _MARGIN_SECONDS,
    )


def http_plan(name: str, address: str, settings: LaunchSettings, told: dict[str, str]) -> Plan:
    """The edge or the simulator."""
    return Plan(
        name=name,
        command=[sys.executable, "-m", f"services.{name}"],
        environment=told,
        healthy=lambda: probe.answers(f"http://{address}/healthz"),
        grace=settings.drain_seconds + _MARGIN_SECONDS,
    )
