"""The fields an operator may write, resource by resource: the JSON name and the proto path.

These tables are the only list: bodies are read by them, update masks are made from them, OpenAPI's
request schemas are generated from them. A name that is not here is refused.
"""

from dataclasses import dataclass

from services.edge.admin.kinds import (
    COUNT,
    EMAIL,
    FAILURE_MODE,
    FLAG,
    MODELS,
    STATUS,
    TIME,
    USD,
    Kind,
    text,
    visible,
    whole,
)

MAX_OVERLAP_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Field:
    """``path`` is the proto field, with a dot inside a nested message."""

    name: str
    path: str
    kind: Kind
    required: bool = False


ID = text(1, 64)

_RATES = (
    Field("requests_per_minute", "rates.requests_per_minute", COUNT.or_null()),
    Field("tokens_per_minute", "rates.tokens_per_minute", COUNT.or_null()),
    Field("concurrent_requests", "rates.concurrent_requests", COUNT.or_null()),
)

ORGANIZATION_UPDATE = (
    Field("name", "name", text(1, 200)),
    Field("status", "status", STATUS),
    Field("monthly_budget_usd", "monthly_budget_nano_usd", USD),
    Field("failure_mode", "failure_mode", FAILURE_MODE),
    Field("fallback_daily_limit_usd", "fallback_daily_limit_nano_usd", USD),
    Field("allowed_models", "allowed_models", MODELS),
    Field("allow_upstream_cache", "allow_upstream_cache", FLAG),
    *_RATES,
)
ORGANIZATION_CREATE = (
    Field("name", "name", text(1, 200), required=True),
    Field("monthly_budget_usd", "monthly_budget_nano_usd", USD, required=True),
    *(f for f in ORGANIZATION_UPDATE if f.name not in ("name", "monthly_budget_usd")),
)

USER_UPDATE = (
    Field("email", "email", EMAIL),
    Field("name", "name", text(0, 200)),
    Field("status", "status", STATUS),
    Field("monthly_limit_usd", "monthly_limit_nano_usd", USD),
    Field("allowed_models", "allowed_models", MODELS),
    *_RATES,
)
USER_CREATE = (
    Field("email", "email", EMAIL, required=True),
    Field("org_id", "org_id", ID, required=True),
    Field("monthly_limit_usd", "monthly_limit_nano_usd", USD, required=True),
    *(f for f in USER_UPDATE if f.name not in ("email", "monthly_limit_usd")),
)

API_KEY_WRITE = (
    Field("name", "name", text(0, 200)),
    Field("expires_at", "expire_time", TIME.or_null()),
    Field("monthly_limit_usd", "monthly_limit_nano_usd", USD.or_null()),
    Field("allowed_models", "allowed_models", MODELS),
    *_RATES,
)
API_KEY_ROTATE = (Field("overlap_seconds", "overlap_seconds", whole(0, MAX_OVERLAP_SECONDS)),)

PROVIDER_KEY_SET = (Field("credential", "credential", visible(8192), required=True),)

ADMIN_KEY_CREATE = (
    Field("name", "name", text(1, 64), required=True),
    Field("org_id", "org_id", ID.or_null()),
)

RESET_QUOTA = (Field("reason", "reason", text(1, 500), required=True),)

_JSON_NAMES = {
    field.path: field.name
    for table in (ORGANIZATION_UPDATE, USER_CREATE, API_KEY_WRITE)
    for field in table
}


def json_name(path: str) -> str:
    """The JSON name of a field that a service refused: ``user.monthly_limit_nano_usd`` is
    ``monthly_limit_usd``."""
    for known, name in _JSON_NAMES.items():
        if path == known or path.endswith("." + known):
            return name
    last = path.rpartition(".")[2].partition("[")[0]
    if last.endswith("_nano_usd"):
        return last.removesuffix("_nano_usd") + "_usd"
    return last
