"""One question to another service: its attempts, their deadlines, errors back in our tree."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import grpc

from services.common.errors import GatewayError, Unanswered, Unavailable, from_rpc
from services.common.ids import current_request

_SECOND_SECONDS = 0.25
_LATER_SECONDS = 1.0

Metadata = tuple[tuple[str, str], ...]
Asked = TypeVar("Asked", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Rpc(Protocol[Asked, Answer]):
    """One unary RPC of a stub."""

    def __call__(
        self,
        request: Asked,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> Awaitable[Answer]: ...


def attempts(first: float, patience: float) -> tuple[float, ...]:
    """How long the attempts after a ``first`` one of so many seconds take, where nobody answers,
    ``patience`` seconds in all: a replica that stops, starts or hangs fails no request. Each goes
    to the next replica, as soon as there is one."""
    rest, lengths = patience - first, list[float]()
    while rest > 0:
        lengths.append(min(rest, _LATER_SECONDS if lengths else _SECOND_SECONDS))
        rest -= lengths[-1]
    return tuple(lengths)


def _as_it_is(_: object) -> None:
    pass


async def ask(
    rpc: Rpc[Asked, Answer],
    request: Asked,
    metadata: Metadata,
    seconds: float,
    service: str,
    again: Sequence[float] = (),
    ready: Callable[[Asked], None] = _as_it_is,
) -> Answer:
    """``again`` is for what may be repeated; ``ready`` sees the request before each attempt. Raises
    GatewayError."""
    ready(request)
    try:
        return await rpc(request, timeout=seconds, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raised: GatewayError = from_rpc(error)
        if not (again and isinstance(raised, Unanswered)):
            if isinstance(raised, Unavailable):
                raised.metadata.setdefault("service", service)
            raise raised from error
    waits = partial(rpc, wait_for_ready=True)
    return await ask(waits, request, metadata, again[0], service, again[1:], ready)


def for_request(metadata: Metadata) -> Metadata:
    """With the id of the HTTP request behind it. Batches have none: their items carry theirs."""
    request_id = current_request.get()
    return (*metadata, ("x-request-id", request_id)) if request_id else metadata
