"""/admin/users: described."""

from services.edge.admin.fields import (
    API_KEY_ROTATE,
    API_KEY_WRITE,
    RESET_QUOTA,
    USER_CREATE,
    USER_UPDATE,
)
from services.edge.admin.routes import KEY, USER
from services.edge.openapi.forms import (
    EMAIL,
    KEY_STATUS,
    MONTH,
    ONLY_COUNT,
    ORG_ID,
    PAGED,
    STATUS,
    body,
    read,
    write,
)
from services.edge.openapi.operation import Operation
from services.edge.openapi.schemas import page_of, ref

_USERS_TAG = "Users"
_USERS_ROOT = "/admin/users"

USERS: tuple[Operation, ...] = (
    write(
        "post",
        _USERS_ROOT,
        "createUser",
        "Make a user",
        "User",
        _USERS_TAG,
        status="201",
        body=body(USER_CREATE),
    ),
    read(
        _USERS_ROOT,
        "listUsers",
        "List users",
        page_of("User"),
        _USERS_TAG,
        query=(ORG_ID, STATUS, EMAIL, *PAGED),
    ),
    read(USER, "getUser", "One user", ref("User"), _USERS_TAG),
    write(
        "patch",
        USER,
        "updateUser",
        "Change the fields named",
        "User",
        _USERS_TAG,
        body=body(USER_UPDATE, least=1),
        description="Holds for the next request. null clears a rate.",
    ),
    write(
        "delete",
        USER,
        "deleteUser",
        "Delete the user with all API keys",
        "DeletedUser",
        _USERS_TAG,
        query=(ONLY_COUNT,),
    ),
    read(
        f"{USER}/usage",
        "getUserUsage",
        "Spent, held, left",
        ref("Usage"),
        _USERS_TAG,
        query=(MONTH,),
    ),
    write(
        "post",
        f"{USER}/reset-quota",
        "resetUserQuota",
        "Let the user spend this month's limit again",
        "Usage",
        _USERS_TAG,
        body=body(RESET_QUOTA),
        description="What was spent stays in the books.",
    ),
)


_API_KEYS_TAG = "API keys"
_API_KEYS_ROOT = f"{USER}/api-keys"

API_KEYS: tuple[Operation, ...] = (
    write(
        "post",
        _API_KEYS_ROOT,
        "createApiKey",
        "Make a key; it is shown once",
        "NewApiKey",
        _API_KEYS_TAG,
        status="201",
        body=body(API_KEY_WRITE),
        body_required=False,
    ),
    read(
        _API_KEYS_ROOT,
        "listApiKeys",
        "List keys",
        page_of("ApiKey"),
        _API_KEYS_TAG,
        query=(KEY_STATUS, *PAGED),
    ),
    read(KEY, "getApiKey", "One key's description", ref("ApiKey"), _API_KEYS_TAG),
    write(
        "patch",
        KEY,
        "updateApiKey",
        "Change the fields named",
        "ApiKey",
        _API_KEYS_TAG,
        body=body(API_KEY_WRITE, least=1),
        description="null clears a limit, a rate or the expiry.",
    ),
    write("delete", KEY, "revokeApiKey", "End a key for good", "ApiKey", _API_KEYS_TAG),
    read(
        f"{KEY}/usage",
        "getApiKeyUsage",
        "Spent and held",
        ref("Usage"),
        _API_KEYS_TAG,
        query=(MONTH,),
    ),
    write(
        "post",
        f"{KEY}/rotate",
        "rotateApiKey",
        "Make a new key like it; the old one works on for overlap_seconds",
        "NewApiKey",
        _API_KEYS_TAG,
        status="201",
        body=body(API_KEY_ROTATE),
        body_required=False,
    ),
)
