"""/admin/health, metrics, identity, usage, audit, admin keys: described."""

from services.edge.admin.fields import ADMIN_KEY_CREATE, PROVIDER_KEY_SET
from services.edge.admin.routes import ORG
from services.edge.openapi.forms import (
    MONTH,
    ORDER,
    ORG_ID,
    PAGED,
    SINCE,
    UNTIL,
    USER_ID,
    body,
    formats,
    read,
    write,
)
from services.edge.openapi.operation import Operation, query
from services.edge.openapi.schemas import page_of, ref

_OVERVIEW_TAG = "Overview"
_GROUPS = query(
    "group_by",
    "Add up by some of day, user, key, model and organization, separated by commas.",
    {"type": "string", "examples": ["day,model"]},
)

OVERVIEW: tuple[Operation, ...] = (
    read(
        "/admin/health",
        "getHealth",
        "Which services answer, and how fast",
        ref("Health"),
        _OVERVIEW_TAG,
    ),
    read(
        "/admin/metrics",
        "getMetrics",
        "Health, totals, keys, top users",
        ref("Metrics"),
        _OVERVIEW_TAG,
        query=(ORG_ID, MONTH),
    ),
    read("/admin/identity", "getIdentity", "Who the admin key is", ref("Identity"), _OVERVIEW_TAG),
    read(
        "/admin/usage",
        "exportUsage",
        "Usage by day, user, key and model",
        page_of("UsageRecord"),
        _OVERVIEW_TAG,
        query=(ORG_ID, MONTH, USER_ID, _GROUPS, formats("json", "csv", "jsonl"), *PAGED),
        formats=("text/csv", "application/x-ndjson"),
        description="Of all that the admin key sees, or of one organisation. Records come in the "
        "order of organisation, day, user, key and model; CSV and JSON lines are streamed.",
    ),
    read(
        "/admin/audit",
        "listAudit",
        "Who changed what",
        page_of("AuditEntry"),
        _OVERVIEW_TAG,
        query=(
            query("org_id", "An organisation's trail; else the platform's.", {"type": "string"}),
            query("action", "One action, or all of a kind: `user.`", {"type": "string"}),
            ORDER,
            SINCE,
            UNTIL,
            formats("json", "jsonl"),
            *PAGED,
        ),
        formats=("application/x-ndjson",),
    ),
    read(
        "/admin/audit/verify",
        "verifyAudit",
        "Recompute the hash chain of a trail",
        ref("AuditProof"),
        _OVERVIEW_TAG,
        query=(ORG_ID,),
    ),
)


_PROVIDER_TAG, _ADMIN_TAG = "Provider keys", "Admin keys"
_PROVIDER_KEY = f"{ORG}/provider-keys/{{provider}}"

KEYS: tuple[Operation, ...] = (
    read(
        f"{ORG}/provider-keys",
        "listProviderKeys",
        "List the organisation's own keys for providers",
        page_of("ProviderKey"),
        _PROVIDER_TAG,
        query=PAGED,
    ),
    write(
        "put",
        _PROVIDER_KEY,
        "setProviderKey",
        "Store a key; it cannot be read back",
        "ProviderKey",
        _PROVIDER_TAG,
        body=body(PROVIDER_KEY_SET),
    ),
    write(
        "delete",
        _PROVIDER_KEY,
        "deleteProviderKey",
        "Remove it",
        "DeletedProviderKey",
        _PROVIDER_TAG,
    ),
    write(
        "post",
        "/admin/provider-keys/rewrap",
        "rewrapProviderKeys",
        "Encrypt every key again under the newest master key",
        "Rewrapped",
        _PROVIDER_TAG,
    ),
    write(
        "post",
        "/admin/admin-keys",
        "createAdminKey",
        "Make a named admin key; it is shown once",
        "NewAdminKey",
        _ADMIN_TAG,
        status="201",
        body=body(ADMIN_KEY_CREATE),
    ),
    read(
        "/admin/admin-keys",
        "listAdminKeys",
        "List them",
        page_of("AdminKey"),
        _ADMIN_TAG,
        query=PAGED,
    ),
    write(
        "delete",
        "/admin/admin-keys/{admin_key_id}",
        "revokeAdminKey",
        "End an admin key for good",
        "AdminKey",
        _ADMIN_TAG,
    ),
)
