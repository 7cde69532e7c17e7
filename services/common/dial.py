"""Open a channel: round robin over every address of the target, away from unhealthy servers.

Deadlines are given per call (``timeout=``): a service-config timeout is short by a second and is
not sent to the server in grpcio 1.85.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import grpc

from services.common.channel import CLIENT_OPTIONS
from services.common.logs import logger
from services.common.tls import Identity, channel_credentials

log = logger("dial")

LOOK_SECONDS = 5.0
_GRACE_SECONDS = 30.0


def dial(
    target: str,
    health_name: str,
    *,
    cert: str = "",
    key: str = "",
    ca: str = "",
    look_seconds: float = LOOK_SECONDS,
) -> grpc.aio.Channel:
    """A channel to ``target`` (``host:port``, ``dns:///name:port`` or ``unix:path``), to be opened
    inside the running loop. Calls are retried by gRPC only where the server never saw them. With
    ``cert`` it is mTLS, and the channel is replaced when the files are, looked at every
    ``look_seconds``. Raises SettingsError for files that cannot be used."""
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
    if not cert:
        return grpc.aio.insecure_channel(target, options=options)
    identity = Identity(cert, key, ca)

    def connect() -> grpc.aio.Channel:
        credentials = channel_credentials(identity.pem)
        return grpc.aio.secure_channel(target, credentials, options=options)

    return RenewingChannel(identity, connect, look_seconds)


class RenewingChannel(grpc.aio.Channel):
    """A channel whose certificate can be replaced: the next one takes over once it is connected,
    the one before ends when its calls have."""

    def __init__(
        self, identity: Identity, connect: Callable[[], grpc.aio.Channel], look_seconds: float
    ) -> None:
        self._identity = identity
        self._connect = connect
        self._look_seconds = look_seconds
        self.current = connect()
        self._retiring: set[asyncio.Task[None]] = set()
        self._watch = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            if not await asyncio.to_thread(self._identity.renewed):
                continue
            fresh = self._connect()
            with contextlib.suppress(TimeoutError):
                # Without a server there is nothing to wait for: the calls wait instead.
                await asyncio.wait_for(fresh.channel_ready(), _GRACE_SECONDS)
            old, self.current = self.current, fresh
            retire = asyncio.create_task(old.close(_GRACE_SECONDS))
            self._retiring.add(retire)
            retire.add_done_callback(self._retiring.discard)
            log.info("channel_renewed")

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_stream", args, kwargs)

    async def close(self, grace: float | None = None) -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        for retire in self._retiring:
            retire.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.current.close(grace)

    async def __aenter__(self) -> "RenewingChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.current.channel_ready()


class _Method:
    """One RPC of a stub, on whatever channel is current."""

    def __init__(
        self, owner: RenewingChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._owner = owner
        self._make: Callable[[Any], Any] = lambda channel: getattr(channel, kind)(*args, **kwargs)
        self._channel = owner.current
        self._call = self._make(self._channel)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._channel is not self._owner.current:
            self._channel = self._owner.current
            self._call = self._make(self._channel)
        return self._call(*args, **kwargs)
