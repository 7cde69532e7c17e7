"""Every admin route, in one table."""

import time

from starlette.routing import Route

from services.edge.admin import (
    admin_keys,
    api_keys,
    audit,
    organizations,
    provider_keys,
    usage,
    users,
)
from services.edge.admin.border import Border, Handler
from services.edge.admin.metrics import Overview
from services.edge.admin.remote import Remote

ORG = "/admin/organizations/{org_id}"
USER = "/admin/users/{user_id}"
KEY = "/admin/users/{user_id}/api-keys/{key_id}"

_TABLE: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/admin/identity", admin_keys.identity),
    ("GET", "/admin/usage", usage.export),
    ("GET", "/admin/audit", audit.list_),
    ("GET", "/admin/audit/verify", audit.verify),
    ("POST", "/admin/organizations", organizations.create),
    ("GET", "/admin/organizations", organizations.list_),
    ("GET", ORG, organizations.get),
    ("PATCH", ORG, organizations.update),
    ("DELETE", ORG, organizations.delete),
    ("GET", f"{ORG}/usage", organizations.usage),
    ("GET", f"{ORG}/users", organizations.users),
    ("GET", f"{ORG}/journal", audit.journal),
    ("GET", f"{ORG}/verify", organizations.verify),
    ("GET", f"{ORG}/provider-keys", provider_keys.list_),
    ("PUT", f"{ORG}/provider-keys/{{provider}}", provider_keys.put),
    ("DELETE", f"{ORG}/provider-keys/{{provider}}", provider_keys.delete),
    ("POST", "/admin/provider-keys/rewrap", provider_keys.rewrap),
    ("POST", "/admin/users", users.create),
    ("GET", "/admin/users", users.list_),
    ("GET", USER, users.get),
    ("PATCH", USER, users.update),
    ("DELETE", USER, users.delete),
    ("GET", f"{USER}/usage", users.usage),
    ("POST", f"{USER}/reset-quota", users.reset_quota),
    ("POST", f"{USER}/api-keys", api_keys.create),
    ("GET", f"{USER}/api-keys", api_keys.list_),
    ("GET", KEY, api_keys.get),
    ("PATCH", KEY, api_keys.update),
    ("DELETE", KEY, api_keys.revoke),
    ("GET", f"{KEY}/usage", api_keys.usage),
    ("POST", f"{KEY}/rotate", api_keys.rotate),
    ("POST", "/admin/admin-keys", admin_keys.create),
    ("GET", "/admin/admin-keys", admin_keys.list_),
    ("DELETE", "/admin/admin-keys/{admin_key_id}", admin_keys.revoke),
)


def admin_routes(remote: Remote, *, started: float | None = None) -> list[Route]:
    """The routes, one for each path, over both services' admin RPCs. ``started`` is when the edge
    started, ``time.monotonic()``."""
    border = Border(remote)
    overview = Overview(time.monotonic() if started is None else started)
    by_path: dict[str, dict[str, Handler]] = {}
    for method, path, handler in _TABLE:
        by_path.setdefault(path, {})[method] = handler
    told = {"/admin/health": overview.health, "/admin/metrics": overview.metrics}
    return [
        *(
            Route(path, border.guard({"GET": handler}, anyone_up=True), methods=["GET"])
            for path, handler in told.items()
        ),
        *(
            Route(path, border.guard(methods), methods=list(methods))
            for path, methods in by_path.items()
        ),
    ]
