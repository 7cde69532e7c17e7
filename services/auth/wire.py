"""From the model to the proto messages: how a resource is answered."""

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.auth.v1 import admin_pb2
from services.auth import model

STATUS = {
    model.ACTIVE: admin_pb2.STATUS_ACTIVE,
    model.SUSPENDED: admin_pb2.STATUS_SUSPENDED,
    model.REVOKED: admin_pb2.STATUS_REVOKED,
}
FAILURE_MODE = {
    model.FAIL_CLOSED: admin_pb2.FAILURE_MODE_FAIL_CLOSED,
    model.FAIL_OPEN: admin_pb2.FAILURE_MODE_FAIL_OPEN,
}


def to_ms(time: Timestamp) -> int:
    """Unix milliseconds. Raises ValueError for what is no time between the years 1 and 9999."""
    if not (-62_135_596_800 <= time.seconds <= 253_402_300_799 and 0 <= time.nanos < 10**9):
        raise ValueError("is not a valid time")
    return time.seconds * 1000 + time.nanos // 1_000_000


def to_time(milliseconds: int | None) -> Timestamp | None:
    if milliseconds is None:
        return None
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def organization(found: model.Organization) -> admin_pb2.Organization:
    return admin_pb2.Organization(
        org_id=found.org_id,
        name=found.name,
        status=STATUS[found.status],
        monthly_budget_nano_usd=found.limit,
        failure_mode=FAILURE_MODE[found.failure_mode],
        fallback_daily_limit_nano_usd=found.fallback_daily,
        allowed_models=found.models,
        rates=_rates(found),
        allow_upstream_cache=found.allow_upstream_cache,
        create_time=to_time(found.created),
        update_time=to_time(found.updated),
        revision=found.revision,
    )


def user(found: model.User) -> admin_pb2.User:
    return admin_pb2.User(
        user_id=found.user_id,
        org_id=found.org_id,
        email=found.email,
        status=STATUS[found.status],
        monthly_limit_nano_usd=found.limit,
        allowed_models=found.models,
        rates=_rates(found),
        name=found.name,
        create_time=to_time(found.created),
        update_time=to_time(found.updated),
    )


def api_key(found: model.Key) -> admin_pb2.ApiKey:
    return admin_pb2.ApiKey(
        key_id=found.key_id,
        org_id=found.org_id,
        user_id=found.user,
        name=found.name,
        status=STATUS[found.status],
        prefix=found.prefix,
        suffix=found.suffix,
        monthly_limit_nano_usd=found.limit,
        allowed_models=found.models,
        rates=_rates(found),
        create_time=to_time(found.created),
        expire_time=to_time(found.expires),
        revoke_time=to_time(found.revoked),
        last_use_time=to_time(found.last_used),
        rotated_from=found.rotated_from,
    )


def _rates(found: model.Organization | model.User | model.Key) -> admin_pb2.Rates | None:
    if found.rpm is None and found.tpm is None and found.concurrency is None:
        return None
    return admin_pb2.Rates(
        requests_per_minute=found.rpm,
        tokens_per_minute=found.tpm,
        concurrent_requests=found.concurrency,
    )
