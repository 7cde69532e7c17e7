"""Every key of the KV, spelled once.

``{o}`` is a literal Redis hash tag: all keys of one organisation lie in one slot, so that one
script can read and change key, user and organisation together, on a cluster too.
"""

import re

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

ORGS = "orgs"
"""Sorted set of all organisation ids, living and deleted; all scores 0, so ordered by id."""

PLATFORM = "platform"
"""Stands where an organisation's id would: the platform's own audit trail and admin keys lie in one
slot, as an organisation's things do."""

ADMIN_KEYS = "adminkeys:{platform}"
"""Hash: admin key id to the SHA-256 under which it is stored."""


def is_id(text: str) -> bool:
    """Whether ``text`` may stand inside a key. Braces would move a key to another slot."""
    return _ID.fullmatch(text) is not None


# Owned by auth -----------------------------------------------------------------------------


def api_key(key_hash: str) -> str:
    """Hash: ``org``, ``user``, ``key``. A pure lookup."""
    return f"apikey:{key_hash}"


def user_directory(user: str) -> str:
    """String: the organisation of a user, kept after deletion."""
    return f"user:{user}"


def org_config(org: str) -> str:
    """Hash: see ``services.auth.store`` for auth's fields; quota reads ``status``, ``limit``,
    ``models``, ``rpm``, ``tpm``, ``concurrency``, ``revision``, ``failure_mode``,
    ``fallback_daily``."""
    return f"org:{{{org}}}:config"


def org_users(org: str) -> str:
    """Sorted set of user ids, all scores 0."""
    return f"org:{{{org}}}:users"


def org_emails(org: str) -> str:
    """Hash: lower-case e-mail address to user id."""
    return f"org:{{{org}}}:emails"


def org_counts(org: str) -> str:
    """Hash: ``users``, ``keys``, ``active_keys`` (not revoked), ``revoked_keys``."""
    return f"org:{{{org}}}:counts"


def org_expiring(org: str) -> str:
    """Sorted set: ids of keys that are not revoked and expire, scored by when (Unix ms)."""
    return f"org:{{{org}}}:expiring"


def provider_keys(org: str) -> str:
    """Hash: provider name to an encrypted envelope (JSON)."""
    return f"org:{{{org}}}:provider-keys"


def org_dek(org: str) -> str:
    """String: the organisation's data key, wrapped by a master key (JSON)."""
    return f"org:{{{org}}}:dek"


def user_config(org: str, user: str) -> str:
    """Hash: quota reads ``status``, ``limit``, ``models``, ``rpm``, ``tpm``, ``concurrency``."""
    return f"user:{{{org}}}:{user}:config"


def user_keys(org: str, user: str) -> str:
    """Sorted set of key ids, scored by creation time in milliseconds."""
    return f"user:{{{org}}}:{user}:keys"


def key_config(org: str, key: str) -> str:
    """Hash: quota reads ``status``, ``expires`` (Unix ms, absent: never), ``limit``, ``models``,
    ``rpm``, ``tpm``, ``concurrency``; and writes ``last_used``."""
    return f"key:{{{org}}}:{key}:config"


def audit(org: str) -> str:
    """Stream: the organisation's hash-chained audit trail. Quota writes here, too: its resets."""
    return f"audit:{{{org}}}"


def audit_head(org: str) -> str:
    """String: number, id and hash of the newest audit entry."""
    return f"audit:{{{org}}}:head"


def audit_event(org: str, event: str) -> str:
    """String: marks an event that the trail already has."""
    return f"audit:{{{org}}}:event:{event}"


def admin_key(key_hash: str) -> str:
    """Hash: ``id``, ``name``, ``org`` (empty: platform), ``status``, ``created``, ``revoked``."""
    return f"adminkey:{{{PLATFORM}}}:{key_hash}"


def idempotency(digest: str) -> str:
    """String: fingerprint and sealed answer of an admin write, 24 hours."""
    return f"idempotency:{digest}"


# Owned by quota ----------------------------------------------------------------------------


def org_quota(org: str) -> str:
    """Hash: ``<month>:spent``, ``:held``, ``:requests``, ``:input_tokens``, ``:output_tokens``…"""
    return f"org:{{{org}}}:quota"


def user_quota(org: str, user: str) -> str:
    """Hash: as :func:`org_quota`, and ``<month>:reset`` (nano-USD forgiven)."""
    return f"user:{{{org}}}:{user}:quota"


def key_quota(org: str, key: str) -> str:
    """Hash: as :func:`org_quota`."""
    return f"key:{{{org}}}:{key}:quota"


def hold(org: str, reservation: str) -> str:
    """String: one reservation, kept as a tombstone after its end (``ledger.lua``)."""
    return f"hold:{{{org}}}:{reservation}"


def holds(org: str) -> str:
    """Sorted set: ``<reservation> <user> <key>`` scored by lease end in milliseconds."""
    return f"holds:{{{org}}}"


def journal(org: str) -> str:
    """Stream: every money step, append only (``services.quota.entries``)."""
    return f"journal:{{{org}}}"


def journal_sums(org: str) -> str:
    """Hash: ``<user>|<key>|<month>|<measure>`` to the sum of the journal's dropped entries, and
    ``entries``."""
    return f"journal:{{{org}}}:sums"


def usage_records(org: str, month: str) -> str:
    """Hash: ``<day>|<user>|<key>|<model>|<measure>`` to an integer."""
    return f"usage:{{{org}}}:{month}"


def usage_index(org: str, month: str) -> str:
    """Sorted set: ``<day>|<user>|<key>|<model>`` of every usage record, all scores 0."""
    return f"usage:{{{org}}}:{month}:index"


def rank_by_cost(org: str, month: str) -> str:
    """Sorted set: user ids scored by nano-USD."""
    return f"rank:{{{org}}}:{month}:cost"


def rank_by_requests(org: str, month: str) -> str:
    """Sorted set: user ids scored by number of requests."""
    return f"rank:{{{org}}}:{month}:requests"


EDGES = "edges"
"""Sorted set of the edges that checkpoint, scored by when they last did, Unix milliseconds."""


def grace_shares(org: str, day: str) -> str:
    """Hash: edge id to its share of the day's fail-open budget, nano-USD."""
    return f"grace:{{{org}}}:{day}"
