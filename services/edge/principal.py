"""Who is behind a key, as auth told: plain values, for they are read a dozen times a request."""

from typing import NamedTuple

from gateway.auth.v1 import auth_pb2


class Principal(NamedTuple):
    """What the edge needs of gateway.auth.v1.Principal, which says what the members mean."""

    org_id: str = ""
    user_id: str = ""
    key_id: str = ""
    allowed_models: tuple[tuple[str, ...], ...] = ()
    failure_mode: str = ""
    providers_with_key: frozenset[str] = frozenset()
    revision: int = 0
    expire_time_ms: int = 0
    allow_upstream_cache: bool = False


def told(message: auth_pb2.Principal) -> Principal:
    return Principal(
        org_id=message.org_id,
        user_id=message.user_id,
        key_id=message.key_id,
        allowed_models=tuple(tuple(each.models) for each in message.allowed_models),
        failure_mode=message.failure_mode,
        providers_with_key=frozenset(message.providers_with_key),
        revision=message.revision,
        expire_time_ms=message.expire_time_ms,
        allow_upstream_cache=message.allow_upstream_cache,
    )
