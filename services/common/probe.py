"""``python -m services.common.probe TARGET [SERVICE]``: exit code 0 while it is serving.

TARGET is an ``http://`` URL that must answer 200, or a gRPC server; a gRPC server is asked with
this process's own certificate where GATEWAY_TLS_CERT, _KEY and _CA are set.
"""

import sys
import urllib.error
import urllib.request
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.settings import ServiceSettings, SettingsError
from services.common.tls import Identity, channel_credentials


def serving(
    target: str, service: str = "", *, identity: Identity | None = None, seconds: float = 1.0
) -> bool:
    """Whether ``target`` answers SERVING within ``seconds``."""
    with _channel(target, identity) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def answers(url: str, *, seconds: float = 1.0) -> bool:
    """Whether ``url`` answers 200 within ``seconds``."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _channel(target: str, identity: Identity | None) -> grpc.Channel:
    if identity is None or target.startswith("unix:"):
        return grpc.insecure_channel(target)
    return grpc.secure_channel(target, channel_credentials(identity.pem))


def main(target: str, service: str = "") -> int:
    if target.startswith("http://"):
        return 0 if answers(target) else 1
    try:
        settings = ServiceSettings.load()
        tls = (settings.tls_cert, settings.tls_key, settings.tls_ca)
        identity = Identity(*tls) if all(tls) else None
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if serving(target, service, identity=identity) else 1


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:3]))
