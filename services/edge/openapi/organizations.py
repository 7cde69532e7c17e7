"""/admin/organizations: described."""

from services.edge.admin.fields import ORGANIZATION_CREATE, ORGANIZATION_UPDATE
from services.edge.admin.routes import ORG
from services.edge.openapi.forms import (
    EMAIL,
    MONTH,
    ONLY_COUNT,
    ORDER,
    PAGED,
    SINCE,
    STATUS,
    UNTIL,
    USER_ID,
    body,
    formats,
    read,
    write,
)
from services.edge.openapi.operation import Operation
from services.edge.openapi.schemas import page_of, ref

_TAG = "Organizations"
_ROOT = "/admin/organizations"

ORGANIZATIONS: tuple[Operation, ...] = (
    write(
        "post",
        _ROOT,
        "createOrganization",
        "Make an organisation",
        "Organization",
        _TAG,
        status="201",
        body=body(ORGANIZATION_CREATE),
    ),
    read(
        _ROOT,
        "listOrganizations",
        "List organisations",
        page_of("Organization"),
        _TAG,
        query=(STATUS, *PAGED),
    ),
    read(ORG, "getOrganization", "One organisation", ref("Organization"), _TAG),
    write(
        "patch",
        ORG,
        "updateOrganization",
        "Change the fields named",
        "Organization",
        _TAG,
        body=body(ORGANIZATION_UPDATE, least=1),
        description="Holds for the next request. null clears a rate.",
    ),
    write(
        "delete",
        ORG,
        "deleteOrganization",
        "Delete it with its users and keys",
        "DeletedOrganization",
        _TAG,
        query=(ONLY_COUNT,),
        description="Usage, journal and audit trail stay readable.",
    ),
    read(
        f"{ORG}/usage",
        "getOrganizationUsage",
        "Spent, held, left",
        ref("Usage"),
        _TAG,
        query=(MONTH,),
    ),
    read(
        f"{ORG}/users",
        "listOrganizationUsers",
        "List its users",
        page_of("User"),
        _TAG,
        query=(STATUS, EMAIL, *PAGED),
    ),
    read(
        f"{ORG}/journal",
        "listJournal",
        "Every money entry",
        page_of("JournalEntry"),
        _TAG,
        query=(SINCE, UNTIL, USER_ID, ORDER, formats("json", "jsonl"), *PAGED),
        formats=("application/x-ndjson",),
    ),
    read(
        f"{ORG}/verify",
        "verifyOrganization",
        "Prove that journal, counters, holds, usage and audit trail agree",
        ref("Proof"),
        _TAG,
    ),
)
