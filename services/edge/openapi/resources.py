"""The resources of the admin API as they are answered."""

from services.edge.openapi.schemas import (
    BOOLEAN,
    INTEGER,
    KEY_STATUS,
    STATUS,
    STRING,
    STRINGS,
    TIME,
    USD,
    Schema,
    listing,
    nullable,
    record,
    ref,
)

_RATES = {
    name: nullable(INTEGER)
    for name in ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
}
_API_KEY = {
    "org_id": STRING,
    "user_id": STRING,
    "name": STRING,
    "status": KEY_STATUS,
    "prefix": STRING | {"description": "First 12 characters."},
    "suffix": STRING | {"description": "Last 4 characters."},
    "monthly_limit_usd": nullable(USD),
    "allowed_models": STRINGS,
    **_RATES,
    "created_at": nullable(TIME),
    "expires_at": nullable(TIME),
    "revoked_at": nullable(TIME),
    "last_used_at": nullable(TIME),
    "rotated_from": nullable(STRING),
}
_ADMIN_KEY = {
    "name": STRING,
    "org_id": nullable(STRING) | {"description": "null: the whole platform."},
    "status": KEY_STATUS,
    "created_at": nullable(TIME),
    "revoked_at": nullable(TIME),
}
_SERVICE: dict[str, Schema] = {
    "status": {"type": "string", "enum": ["ok", "unavailable"]},
    "latency_ms": {"type": "number"},
}
_REMOTE = record(
    **_SERVICE,
    uptime_seconds=nullable(INTEGER),
    kv_latency_ms={"type": ["number", "null"]},
)
_SERVICES = record(edge=record(**_SERVICE, uptime_seconds=INTEGER), auth=_REMOTE, quota=_REMOTE)
_OVERALL: Schema = {"type": "string", "enum": ["ok", "degraded"]}
_LEDGER = record(
    journal_entries=INTEGER,
    spent_usd=USD,
    held_usd=USD,
    differences=listing(
        record(
            subject=STRING,
            month=nullable(STRING),
            field=STRING,
            counter=INTEGER,
            expected=INTEGER,
            source=STRING,
        )
    ),
)
_TRAIL = {"entries": INTEGER, "breaks": STRINGS}
_ANYTHING: Schema = {"type": ["object", "string", "array", "number", "boolean", "null"]}

ADMIN: dict[str, Schema] = {
    "Organization": record(
        org_id=STRING,
        name=STRING,
        status=STATUS,
        monthly_budget_usd=USD,
        failure_mode={"type": "string", "enum": ["fail-closed", "fail-open"]},
        fallback_daily_limit_usd=USD,
        allowed_models=STRINGS,
        allow_upstream_cache=BOOLEAN,
        **_RATES,
        created_at=nullable(TIME),
        updated_at=nullable(TIME),
        revision=INTEGER,
    ),
    "User": record(
        user_id=STRING,
        org_id=STRING,
        email=STRING,
        name=STRING,
        status=STATUS,
        monthly_limit_usd=USD,
        allowed_models=STRINGS,
        **_RATES,
        created_at=nullable(TIME),
        updated_at=nullable(TIME),
    ),
    "ApiKey": record(key_id=STRING, **_API_KEY),
    "NewApiKey": record(
        key_id=STRING, api_key=STRING | {"description": "Shown here and never again."}, **_API_KEY
    ),
    "ProviderKey": record(
        org_id=STRING,
        provider=STRING,
        hint=STRING,
        fingerprint=STRING,
        created_at=nullable(TIME),
    ),
    "DeletedProviderKey": record(org_id=STRING, provider=STRING, deleted=BOOLEAN),
    "Rewrapped": record(rewrapped=INTEGER),
    "AdminKey": record(admin_key_id=STRING, **_ADMIN_KEY),
    "NewAdminKey": record(
        admin_key_id=STRING,
        admin_key=STRING | {"description": "Shown here and never again."},
        **_ADMIN_KEY,
    ),
    "Identity": record(name=STRING, org_id=nullable(STRING)),
    "DeletedOrganization": record(
        org_id=STRING,
        deleted=BOOLEAN,
        users_deleted=INTEGER,
        api_keys_revoked=INTEGER,
        provider_keys_deleted=INTEGER,
    ),
    "DeletedUser": record(user_id=STRING, deleted=BOOLEAN, api_keys_revoked=INTEGER),
    "AuditEntry": record(
        entry_id=STRING,
        time=nullable(TIME),
        org_id=nullable(STRING),
        actor=STRING,
        action=STRING,
        target=STRING,
        before=_ANYTHING,
        after=_ANYTHING,
        request_id=nullable(STRING),
        hash=STRING,
    ),
    "AuditProof": record(org_id=nullable(STRING), ok=BOOLEAN, **_TRAIL),
    "Proof": record(org_id=STRING, ok=BOOLEAN, ledger=_LEDGER, audit=record(**_TRAIL)),
    "JournalEntry": record(
        entry_id=STRING,
        time=nullable(TIME),
        kind=STRING,
        reservation_id=nullable(STRING),
        user_id=nullable(STRING),
        key_id=nullable(STRING),
        month=STRING,
        model=nullable(STRING),
        operation=nullable(STRING),
        spent_usd=USD,
        held_usd=USD,
        input_tokens=INTEGER,
        output_tokens=INTEGER,
        flags=STRINGS,
        request_id=nullable(STRING),
        reason=nullable(STRING),
    ),
    "UsageRecord": {
        **record(
            org_id=nullable(STRING),
            day=STRING,
            user_id=STRING,
            key_id=STRING,
            model=STRING,
            spent_usd=USD,
            request_count=INTEGER,
            input_tokens=INTEGER,
            output_tokens=INTEGER,
        ),
        "description": "Grouped answers hold the columns of their groups only; "
        "`org_id` is null where a group goes over all organisations.",
        "required": ["org_id", "spent_usd", "request_count", "input_tokens", "output_tokens"],
    },
    "TopUser": record(
        org_id=STRING, user_id=STRING, email=STRING, spent_usd=USD, request_count=INTEGER
    ),
    "Health": record(status=_OVERALL, services=_SERVICES),
    "Metrics": record(
        status=_OVERALL,
        org_id=nullable(STRING),
        month=nullable(STRING),
        uptime_seconds=INTEGER,
        services=_SERVICES,
        totals=record(
            organizations=nullable(INTEGER),
            users=nullable(INTEGER),
            request_count=nullable(INTEGER),
            running_requests=nullable(INTEGER),
            spent_usd=nullable(USD),
            held_usd=nullable(USD),
            grace_usd=nullable(USD),
            input_tokens=nullable(INTEGER),
            output_tokens=nullable(INTEGER),
        ),
        api_keys=record(
            total=nullable(INTEGER), active=nullable(INTEGER), revoked=nullable(INTEGER)
        ),
        top_users_by_cost={"type": ["array", "null"], "items": ref("TopUser")},
        top_users_by_requests={"type": ["array", "null"], "items": ref("TopUser")},
    ),
    "Usage": record(
        org_id=STRING,
        user_id=nullable(STRING),
        key_id=nullable(STRING),
        month=STRING,
        spent_usd=USD,
        held_usd=USD,
        limit_usd=nullable(USD),
        remaining_usd=nullable(USD),
        total_spent_usd=USD,
        grace_usd=USD,
        request_count=INTEGER,
        running_requests=INTEGER,
        input_tokens=INTEGER,
        cached_input_tokens=INTEGER,
        output_tokens=INTEGER,
        reasoning_output_tokens=INTEGER,
        resets_at=nullable(TIME),
    ),
}
