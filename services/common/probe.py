"""``python -m services.common.probe TARGET [SERVICE]``: exit code 0 while it is serving."""

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def serving(target: str, service: str = "", *, seconds: float = 1.0) -> bool:
    """Whether ``target`` answers SERVING within ``seconds``."""
    with grpc.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    raise SystemExit(0 if serving(*sys.argv[1:3]) else 1)
