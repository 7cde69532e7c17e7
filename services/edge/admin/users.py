"""/admin/users"""

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from gateway.quota.v1 import quota_pb2 as money_pb2
from services.edge.admin import translate
from services.edge.admin.answers import answer, page
from services.edge.admin.body import fill, mask, read_body
from services.edge.admin.border import Ask
from services.edge.admin.fields import RESET_QUOTA, USER_CREATE, USER_UPDATE
from services.edge.admin.organizations import STATUSES
from services.edge.admin.query import Query


async def create(ask: Ask) -> Response:
    Query(ask.request)
    values = await read_body(ask.request, USER_CREATE)
    request = admin_pb2.CreateUserRequest()
    fill(request.user, USER_CREATE, values)
    made = await ask.auth(ask.remote.auth.CreateUser, request)
    return answer(translate.user(made), 201, location=f"/admin/users/{made.user_id}")


async def get(ask: Ask) -> Response:
    Query(ask.request)
    request = admin_pb2.GetUserRequest(user_id=ask.id("user_id"))
    return answer(translate.user(await ask.auth(ask.remote.auth.GetUser, request)))


async def list_(ask: Ask) -> Response:
    query = Query(ask.request, "page_size", "page_token", "org_id", "status", "email")
    request = admin_pb2.ListUsersRequest(
        org_id=query.text("org_id") or ask.identity.org_id,
        page_size=query.size(),
        page_token=query.text("page_token"),
        status=translate.status_number(query.choice("status", STATUSES)),
        email=query.text("email"),
    )
    found = await ask.auth(ask.remote.auth.ListUsers, request)
    return page(map(translate.user, found.users), found.next_page_token)


async def update(ask: Ask) -> Response:
    Query(ask.request)
    user_id = ask.id("user_id")
    values = await read_body(ask.request, USER_UPDATE)
    request = admin_pb2.UpdateUserRequest(update_mask=mask(USER_UPDATE, values))
    request.user.user_id = user_id
    fill(request.user, USER_UPDATE, values)
    return answer(translate.user(await ask.auth(ask.remote.auth.UpdateUser, request)))


async def delete(ask: Ask) -> Response:
    only_count = Query(ask.request, "validate_only").flag("validate_only")
    request = admin_pb2.DeleteUserRequest(user_id=ask.id("user_id"), validate_only=only_count)
    gone = await ask.auth(ask.remote.auth.DeleteUser, request)
    return answer(
        {
            "user_id": request.user_id,
            "deleted": not only_count,
            "api_keys_revoked": gone.api_keys_revoked,
        }
    )


async def usage(ask: Ask) -> Response:
    month = Query(ask.request, "month").month()
    owner = money_pb2.Owner(user_id=ask.id("user_id"))
    request = quota_pb2.GetUsageRequest(owner=owner, month=month)
    return answer(translate.usage(await ask.quota(ask.remote.quota.GetUsage, request)))


async def reset_quota(ask: Ask) -> Response:
    Query(ask.request)
    user_id = ask.id("user_id")
    values = await read_body(ask.request, RESET_QUOTA)
    request = quota_pb2.ResetUserQuotaRequest(user_id=user_id, reason=values["reason"])
    return answer(translate.usage(await ask.quota(ask.remote.quota.ResetUserQuota, request)))
