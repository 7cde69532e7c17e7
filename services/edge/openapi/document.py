"""The whole description: OpenAPI 3.1."""

from typing import Any

from services.edge.openapi.data_plane import data_plane
from services.edge.openapi.operation import Operation
from services.edge.openapi.organizations import ORGANIZATIONS
from services.edge.openapi.overview import KEYS, OVERVIEW
from services.edge.openapi.resources import ADMIN
from services.edge.openapi.schemas import ERROR
from services.edge.openapi.users import API_KEYS, USERS

VERSION = "1.0.0"
_SUMMARY = """One OpenAI-compatible URL for a team, a key for each of its members, and budgets that
hold. `/v1` takes API keys (`gw_live_…`), `/admin` takes admin keys. Amounts are US dollars as
decimal strings, times are ISO 8601 in UTC; months begin at midnight UTC."""


def operations() -> list[Operation]:
    return [*data_plane(), *OVERVIEW, *ORGANIZATIONS, *USERS, *API_KEYS, *KEYS]


def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations():
        told = operation.described()
        if "security" not in told:
            key = "AdminKey" if operation.path.startswith("/admin") else "ApiKey"
            told["security"] = [{key: []}]
        paths.setdefault(operation.path, {})[operation.method] = told
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AI Gateway",
            "version": VERSION,
            "description": " ".join(_SUMMARY.split()),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(o.tag for o in operations())],
        "paths": paths,
        "components": {
            "schemas": {**ADMIN, "Error": ERROR},
            "securitySchemes": {
                "ApiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `gw_live_…`.",
                },
                "AdminKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "ADMIN_API_KEY, or a named admin key, `gw_admin_…`.",
                },
            },
            "parameters": {"IdempotencyKey": _IDEMPOTENCY_KEY},
        },
    }


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request repeats the first answer, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
