"""Open a channel: round robin over every address of the target, away from unhealthy servers.

Deadlines are given per call (``timeout=``): a service-config timeout is short by a second and is
not sent to the server in grpcio 1.85.
"""

import json

import grpc

from services.common.channel import CLIENT_OPTIONS, channel_credentials


def dial(
    target: str, health_name: str, *, cert: str = "", key: str = "", ca: str = ""
) -> grpc.aio.Channel:
    """A channel to ``target`` (``host:port``, ``dns:///name:port`` or ``unix:path``), to be opened
    inside the running loop. Calls are retried by gRPC only where the server never saw them."""
    service_config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": health_name},
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.02s",
                    "maxBackoff": "0.1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
    options = [*CLIENT_OPTIONS, ("grpc.service_config", json.dumps(service_config))]
    if cert:
        return grpc.aio.secure_channel(target, channel_credentials(cert, key, ca), options=options)
    return grpc.aio.insecure_channel(target, options=options)
