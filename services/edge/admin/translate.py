"""Protos as JSON: the names of the HTTP API, money as decimal strings, times as ISO 8601 in UTC,
status and failure mode as words. What is absent is null."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from services.common.money import to_usd
from services.edge.admin.facts import facts

Json = dict[str, Any]

_STATUS = {
    admin_pb2.STATUS_ACTIVE: "active",
    admin_pb2.STATUS_SUSPENDED: "suspended",
    admin_pb2.STATUS_REVOKED: "revoked",
}
_FAILURE_MODE = {
    admin_pb2.FAILURE_MODE_FAIL_CLOSED: "fail-closed",
    admin_pb2.FAILURE_MODE_FAIL_OPEN: "fail-open",
}
_STATUS_NUMBERS = {word: number for number, word in _STATUS.items()}


def status_number(word: str) -> admin_pb2.Status:
    """The enum of a status word; an empty one means any."""
    return _STATUS_NUMBERS.get(word, admin_pb2.STATUS_UNSPECIFIED)


def _usd(message: Any, field: str) -> str | None:
    return to_usd(getattr(message, field)) if message.HasField(field) else None


def _time(message: Any, field: str) -> str | None:
    stamp: Timestamp = getattr(message, field)
    return stamp.ToJsonString() if message.HasField(field) else None


def _rates(rates: admin_pb2.Rates) -> Json:
    names = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
    return {name: getattr(rates, name) if rates.HasField(name) else None for name in names}


def organization(org: admin_pb2.Organization) -> Json:
    return {
        "org_id": org.org_id,
        "name": org.name,
        "status": _STATUS.get(org.status, "active"),
        "monthly_budget_usd": to_usd(org.monthly_budget_nano_usd),
        "failure_mode": _FAILURE_MODE.get(org.failure_mode, "fail-closed"),
        "fallback_daily_limit_usd": to_usd(org.fallback_daily_limit_nano_usd),
        "allowed_models": list(org.allowed_models),
        "allow_upstream_cache": org.allow_upstream_cache,
        **_rates(org.rates),
        "created_at": _time(org, "create_time"),
        "updated_at": _time(org, "update_time"),
        "revision": org.revision,
    }


def user(user: admin_pb2.User) -> Json:
    return {
        "user_id": user.user_id,
        "org_id": user.org_id,
        "email": user.email,
        "name": user.name,
        "status": _STATUS.get(user.status, "active"),
        "monthly_limit_usd": to_usd(user.monthly_limit_nano_usd),
        "allowed_models": list(user.allowed_models),
        **_rates(user.rates),
        "created_at": _time(user, "create_time"),
        "updated_at": _time(user, "update_time"),
    }


def api_key(key: admin_pb2.ApiKey) -> Json:
    return {
        "key_id": key.key_id,
        "org_id": key.org_id,
        "user_id": key.user_id,
        "name": key.name,
        "status": _STATUS.get(key.status, "active"),
        "prefix": key.prefix,
        "suffix": key.suffix,
        "monthly_limit_usd": _usd(key, "monthly_limit_nano_usd"),
        "allowed_models": list(key.allowed_models),
        **_rates(key.rates),
        "created_at": _time(key, "create_time"),
        "expires_at": _time(key, "expire_time"),
        "revoked_at": _time(key, "revoke_time"),
        "last_used_at": _time(key, "last_use_time"),
        "rotated_from": key.rotated_from or None,
    }


def new_api_key(made: admin_pb2.CreateApiKeyResponse) -> Json:
    """The one answer that holds the key itself."""
    described = api_key(made.api_key)
    return {"key_id": described.pop("key_id"), "api_key": made.secret, **described}


def provider_key(key: admin_pb2.ProviderKey) -> Json:
    return {
        "org_id": key.org_id,
        "provider": key.provider,
        "hint": key.hint,
        "fingerprint": key.fingerprint,
        "created_at": _time(key, "create_time"),
    }


def admin_key(key: admin_pb2.AdminKey) -> Json:
    return {
        "admin_key_id": key.admin_key_id,
        "name": key.name,
        "org_id": key.org_id or None,
        "status": _STATUS.get(key.status, "active"),
        "created_at": _time(key, "create_time"),
        "revoked_at": _time(key, "revoke_time"),
    }


def audit_entry(entry: admin_pb2.AuditEntry) -> Json:
    return {
        "entry_id": entry.entry_id,
        "time": _time(entry, "time"),
        "org_id": entry.org_id or None,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "before": facts(entry.before),
        "after": facts(entry.after),
        "request_id": entry.request_id or None,
        "hash": entry.hash,
    }


def usage(usage: quota_pb2.Usage) -> Json:
    return {
        "org_id": usage.owner.org_id,
        "user_id": usage.owner.user_id or None,
        "key_id": usage.owner.key_id or None,
        "month": usage.month,
        "spent_usd": to_usd(usage.spent_nano_usd),
        "held_usd": to_usd(usage.held_nano_usd),
        "limit_usd": _usd(usage, "limit_nano_usd"),
        "remaining_usd": _usd(usage, "remaining_nano_usd"),
        "total_spent_usd": to_usd(usage.total_spent_nano_usd),
        "grace_usd": to_usd(usage.grace_nano_usd),
        "request_count": usage.request_count,
        "running_requests": usage.held_count,
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_output_tokens": usage.reasoning_output_tokens,
        "resets_at": _time(usage, "reset_time"),
    }


def top_user(top: quota_pb2.TopUser) -> Json:
    return {
        "org_id": top.org_id,
        "user_id": top.user_id,
        "email": top.email,
        "spent_usd": to_usd(top.spent_nano_usd),
        "request_count": top.request_count,
    }


def journal_entry(entry: quota_pb2.JournalEntry) -> Json:
    return {
        "entry_id": entry.entry_id,
        "time": _time(entry, "time"),
        "kind": entry.kind,
        "reservation_id": entry.reservation_id or None,
        "user_id": entry.owner.user_id or None,
        "key_id": entry.owner.key_id or None,
        "month": entry.month,
        "model": entry.model or None,
        "operation": entry.operation or None,
        "spent_usd": to_usd(entry.spent_nano_usd),
        "held_usd": to_usd(entry.held_nano_usd),
        "input_tokens": entry.usage.input_tokens,
        "output_tokens": entry.usage.output_tokens,
        "flags": list(entry.flags),
        "request_id": entry.request_id or None,
        "reason": entry.reason or None,
    }


def difference(found: quota_pb2.LedgerDifference) -> Json:
    return {
        "subject": found.subject,
        "month": found.month or None,
        "field": found.field,
        "counter": found.counter,
        "expected": found.expected,
        "source": found.source,
    }


def ledger(found: quota_pb2.VerifyLedgerResponse) -> Json:
    return {
        "journal_entries": found.journal_entries,
        "spent_usd": to_usd(found.spent_nano_usd),
        "held_usd": to_usd(found.held_nano_usd),
        "differences": [difference(each) for each in found.differences],
    }


def trail(found: admin_pb2.VerifyAuditTrailResponse) -> Json:
    return {"entries": found.entries, "breaks": list(found.breaks)}
