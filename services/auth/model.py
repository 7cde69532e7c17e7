"""What auth knows, as plain values, and how it is written in the KV. No imports of infrastructure.

Amounts are nano-USD, times are Unix milliseconds. A row is a KV hash: text to text, absent fields
left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, str]

ACTIVE = "active"
SUSPENDED = "suspended"
REVOKED = "revoked"
FAIL_CLOSED = "fail-closed"
FAIL_OPEN = "fail-open"

_PUBLIC = {
    "limit": "monthly_limit_nano_usd",
    "fallback_daily": "fallback_daily_limit_nano_usd",
    "models": "allowed_models",
    "rpm": "rates.requests_per_minute",
    "tpm": "rates.tokens_per_minute",
    "concurrency": "rates.concurrent_requests",
    "user": "user_id",
    "expires": "expire_time",
}
_BUDGET = {"limit": "monthly_budget_nano_usd"}
"""An organisation's limit, which alone has a failure mode."""

_UNTOLD = ("hash", "created", "updated", "revoked", "prefix", "suffix")


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    org_id: str
    name: str
    limit: int
    status: str = ACTIVE
    failure_mode: str = FAIL_CLOSED
    fallback_daily: int = 0
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    allow_upstream_cache: bool = False
    created: int = 0
    updated: int = 0
    revision: int = 0

    def row(self) -> dict[str, str]:
        """Without ``revision``, which only ever grows by one inside a write."""
        return _row(self, "org_id", "revision")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    user_id: str
    org_id: str
    email: str
    limit: int
    name: str = ""
    status: str = ACTIVE
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    created: int = 0
    updated: int = 0

    def row(self) -> dict[str, str]:
        return _row(self, "user_id", "org_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key's description; ``hash`` is all that is known of the key itself."""

    key_id: str
    org_id: str
    user: str
    hash: str
    prefix: str
    suffix: str
    name: str = ""
    status: str = ACTIVE
    limit: int | None = None
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    created: int = 0
    expires: int | None = None
    revoked: int | None = None
    rotated_from: str = ""
    last_used: int | None = None

    def row(self) -> dict[str, str]:
        """Without ``last_used``, which is quota's to write."""
        return _row(self, "key_id", "org_id", "last_used")

    def lives(self, now: int) -> bool:
        """Whether the key itself may be used at ``now``, whatever its user and organisation."""
        return self.status == ACTIVE and (self.expires is None or self.expires > now)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminKey:
    admin_key_id: str
    name: str
    org: str = ""
    status: str = ACTIVE
    created: int = 0
    revoked: int | None = None

    def row(self) -> dict[str, str]:
        return {**_row(self, "admin_key_id"), "id": self.admin_key_id, "org": self.org}


def organization(org_id: str, row: Row) -> Organization:
    return Organization(
        org_id=org_id,
        name=row["name"],
        limit=int(row["limit"]),
        status=row["status"],
        failure_mode=row.get("failure_mode", FAIL_CLOSED),
        fallback_daily=int(row.get("fallback_daily", 0)),
        allow_upstream_cache=row.get("allow_upstream_cache") == "1",
        created=int(row["created"]),
        updated=int(row["updated"]),
        revision=int(row.get("revision", 0)),
        **_scope(row),
    )


def user(org_id: str, user_id: str, row: Row) -> User:
    return User(
        user_id=user_id,
        org_id=org_id,
        email=row["email"],
        limit=int(row["limit"]),
        name=row.get("name", ""),
        status=row["status"],
        created=int(row["created"]),
        updated=int(row["updated"]),
        **_scope(row),
    )


def key(org_id: str, key_id: str, row: Row) -> Key:
    return Key(
        key_id=key_id,
        org_id=org_id,
        user=row["user"],
        hash=row["hash"],
        prefix=row["prefix"],
        suffix=row["suffix"],
        name=row.get("name", ""),
        status=row["status"],
        limit=_number(row, "limit"),
        created=int(row["created"]),
        expires=_number(row, "expires"),
        revoked=_number(row, "revoked"),
        rotated_from=row.get("rotated_from", ""),
        last_used=_number(row, "last_used"),
        **_scope(row),
    )


def admin_key(row: Row) -> AdminKey:
    return AdminKey(
        admin_key_id=row["id"],
        name=row["name"],
        org=row.get("org", ""),
        status=row["status"],
        created=int(row["created"]),
        revoked=_number(row, "revoked"),
    )


def facts(row: Row) -> dict[str, str]:
    """What the audit trail tells of a row: fields by their public names, nothing secret."""
    public = _PUBLIC | _BUDGET if "failure_mode" in row else _PUBLIC
    return {public.get(name, name): value for name, value in row.items() if name not in _UNTOLD}


def differences(old: Row, new: Row) -> tuple[dict[str, str], dict[str, str]]:
    """Before and after, of the fields that changed. A field that came or went is on one side."""
    before, after = facts(old), facts(new)
    return (
        {name: value for name, value in before.items() if after.get(name) != value},
        {name: value for name, value in after.items() if before.get(name) != value},
    )


def provider_key_hint(credential: str) -> str:
    """First three and last four characters; of a short credential nothing."""
    return f"{credential[:3]}…{credential[-4:]}" if len(credential) >= 16 else "…"


def _scope(row: Row) -> dict[str, Any]:
    return {
        "models": tuple(row.get("models", "").split()),
        "rpm": _number(row, "rpm"),
        "tpm": _number(row, "tpm"),
        "concurrency": _number(row, "concurrency"),
    }


def _number(row: Row, name: str) -> int | None:
    return int(row[name]) if row.get(name) else None


def _row(value: Any, *without: str) -> dict[str, str]:
    row = {}
    for name in type(value).__slots__:
        found = getattr(value, name)
        if name in without or found is None or found == () or found == "":
            continue
        if isinstance(found, tuple):
            row[name] = " ".join(found)
        else:
            row[name] = str(int(found)) if isinstance(found, bool) else str(found)
    return row
