"""What is written of a resource, and what the audit trail tells of it."""

from __future__ import annotations

from services.auth import model

KEY = model.Key(
    key_id="key_a",
    org_id="org_a",
    user="user_a",
    hash="h" * 64,
    prefix="gw_live_abcd",
    suffix="wxyz",
    limit=0,
    models=("a/*", "b/c"),
    rpm=0,
    created=5,
    last_used=7,
)


def test_a_key_never_writes_what_quota_writes() -> None:
    assert "last_used" not in KEY.row()


def test_what_is_written_is_read_back_and_zero_is_not_nothing() -> None:
    row = KEY.row()
    assert (row["limit"], row["rpm"], "tpm" in row) == ("0", "0", False)
    assert model.key("org_a", "key_a", {**row, "last_used": "7"}) == KEY


def test_the_audit_trail_tells_only_what_changed_and_no_hash() -> None:
    old = KEY.row()
    new = {**old, "limit": "5", "name": "CI", "hash": "other"}
    del new["rpm"]
    before, after = model.differences(old, new)
    assert before == {"monthly_limit_nano_usd": "0", "rates.requests_per_minute": "0"}
    assert after == {"monthly_limit_nano_usd": "5", "name": "CI"}


def test_a_short_credential_has_no_hint() -> None:
    assert model.provider_key_hint("x" * 15) == "…"
    assert model.provider_key_hint("sk-0123456789abcd") == "sk-…abcd"
