"""/admin/organizations"""

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from gateway.quota.v1 import quota_pb2 as money_pb2
from services.edge.admin import translate
from services.edge.admin.answers import answer, page
from services.edge.admin.body import fill, mask, read_body
from services.edge.admin.border import Ask
from services.edge.admin.fields import ORGANIZATION_CREATE, ORGANIZATION_UPDATE
from services.edge.admin.query import Query
from services.edge.admin.remote import LONG_SECONDS

STATUSES = ("", "active", "suspended")


async def create(ask: Ask) -> Response:
    Query(ask.request)
    values = await read_body(ask.request, ORGANIZATION_CREATE)
    request = admin_pb2.CreateOrganizationRequest()
    fill(request.organization, ORGANIZATION_CREATE, values)
    made = await ask.auth(ask.remote.auth.CreateOrganization, request)
    location = f"/admin/organizations/{made.org_id}"
    return answer(translate.organization(made), 201, location=location)


async def get(ask: Ask) -> Response:
    Query(ask.request)
    request = admin_pb2.GetOrganizationRequest(org_id=ask.id("org_id"))
    return answer(translate.organization(await ask.auth(ask.remote.auth.GetOrganization, request)))


async def list_(ask: Ask) -> Response:
    query = Query(ask.request, "page_size", "page_token", "status")
    request = admin_pb2.ListOrganizationsRequest(
        page_size=query.size(),
        page_token=query.text("page_token"),
        status=translate.status_number(query.choice("status", STATUSES)),
    )
    found = await ask.auth(ask.remote.auth.ListOrganizations, request)
    return page(map(translate.organization, found.organizations), found.next_page_token)


async def update(ask: Ask) -> Response:
    Query(ask.request)
    org_id = ask.id("org_id")
    values = await read_body(ask.request, ORGANIZATION_UPDATE)
    request = admin_pb2.UpdateOrganizationRequest(update_mask=mask(ORGANIZATION_UPDATE, values))
    request.organization.org_id = org_id
    fill(request.organization, ORGANIZATION_UPDATE, values)
    changed = await ask.auth(ask.remote.auth.UpdateOrganization, request)
    return answer(translate.organization(changed))


async def delete(ask: Ask) -> Response:
    only_count = Query(ask.request, "validate_only").flag("validate_only")
    request = admin_pb2.DeleteOrganizationRequest(org_id=ask.id("org_id"), validate_only=only_count)
    gone = await ask.auth(ask.remote.auth.DeleteOrganization, request)
    return answer(
        {
            "org_id": request.org_id,
            "deleted": not only_count,
            "users_deleted": gone.users_deleted,
            "api_keys_revoked": gone.api_keys_revoked,
            "provider_keys_deleted": gone.provider_keys_deleted,
        }
    )


async def users(ask: Ask) -> Response:
    query = Query(ask.request, "page_size", "page_token", "status", "email")
    request = admin_pb2.ListUsersRequest(
        org_id=ask.id("org_id"),
        page_size=query.size(),
        page_token=query.text("page_token"),
        status=translate.status_number(query.choice("status", STATUSES)),
        email=query.text("email"),
    )
    found = await ask.auth(ask.remote.auth.ListUsers, request)
    return page(map(translate.user, found.users), found.next_page_token)


async def usage(ask: Ask) -> Response:
    month = Query(ask.request, "month").month()
    owner = money_pb2.Owner(org_id=ask.id("org_id"))
    request = quota_pb2.GetUsageRequest(owner=owner, month=month)
    return answer(translate.usage(await ask.quota(ask.remote.quota.GetUsage, request)))


async def verify(ask: Ask) -> Response:
    """Proves the money (journal, counters, holds, usage) and the audit trail of an organisation."""
    Query(ask.request)
    org_id = ask.id("org_id")
    ledger = await ask.quota(
        ask.remote.quota.VerifyLedger, quota_pb2.VerifyLedgerRequest(org_id=org_id), LONG_SECONDS
    )
    trail = await ask.auth(
        ask.remote.auth.VerifyAuditTrail,
        admin_pb2.VerifyAuditTrailRequest(org_id=org_id),
        LONG_SECONDS,
    )
    return answer(
        {
            "org_id": org_id,
            "ok": not ledger.differences and not trail.breaks,
            "ledger": translate.ledger(ledger),
            "audit": translate.trail(trail),
        }
    )
