"""Every page of the console, in one table."""

import time
from typing import NoReturn

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from services.edge.admin.remote import Remote
from services.edge.console import (
    admin_keys,
    api_keys,
    audit,
    journal,
    organizations,
    overview,
    provider_keys,
    usage,
    users,
)
from services.edge.console.api import Api
from services.edge.console.gate import HOME, SIGN_IN, Gate, Page
from services.edge.console.headers import FILE_HEADERS, HEADERS
from services.edge.console.mine import Mine, Verify
from services.edge.console.session import Sessions
from services.edge.console.show import HERE, environment
from services.edge.console.sign_in import SignIn, out
from services.edge.console.visit import Visit
from services.edge.errors import invalid

ORG = f"{HOME}/organizations/{{org_id}}"
USER = f"{HOME}/users/{{user_id}}"
KEY = f"{USER}/api-keys/{{key_id}}"

_PAGES: tuple[tuple[str, Page], ...] = (
    (f"{HOME}/overview/spend", overview.spend),
    (f"{HOME}/organizations", organizations.list_),
    (ORG, organizations.show),
    (f"{ORG}/verify", organizations.verify),
    (f"{HOME}/users", users.list_),
    (USER, users.show),
    (f"{USER}/journal", journal.show),
    (f"{HOME}/usage", usage.show),
    (f"{HOME}/usage/download", usage.download),
    (f"{HOME}/audit", audit.list_),
    (f"{HOME}/audit/verify", audit.verify),
    (f"{HOME}/audit/download", audit.download),
    (f"{HOME}/admin-keys", admin_keys.list_),
)
_FORMS: tuple[tuple[str, Page], ...] = (
    (f"{HOME}/organizations/new", organizations.new),
    (f"{ORG}/edit", organizations.edit),
    (f"{ORG}/suspend", organizations.suspend),
    (f"{ORG}/reactivate", organizations.reactivate),
    (f"{ORG}/delete", organizations.delete),
    (f"{ORG}/provider-keys/new", provider_keys.new),
    (f"{ORG}/provider-keys/{{provider}}/delete", provider_keys.delete),
    (f"{HOME}/users/new", users.new),
    (f"{USER}/edit", users.edit),
    (f"{USER}/suspend", users.suspend),
    (f"{USER}/reactivate", users.reactivate),
    (f"{USER}/reset-quota", users.reset_quota),
    (f"{USER}/delete", users.delete),
    (f"{USER}/api-keys/new", api_keys.new),
    (f"{KEY}/edit", api_keys.edit),
    (f"{KEY}/rotate", api_keys.rotate),
    (f"{KEY}/revoke", api_keys.revoke),
    (f"{HOME}/admin-keys/new", admin_keys.new),
    (f"{HOME}/admin-keys/{{admin_key_id}}/revoke", admin_keys.revoke),
)


def console_routes(
    remote: Remote,
    *,
    verify: Verify,
    service_token: str,
    started: float | None = None,
    example_model: str,
    public_url: str = "",
) -> list[BaseRoute]:
    """The pages, over the same remotes as the admin API. ``verify`` identifies key
    holders. Sessions are sealed under a key made from ``service_token``; the snippets
    beside a new key ask for ``example_model`` at ``public_url``, or where the browser sees us."""
    templates = environment()
    sessions = Sessions(service_token, time.time)
    api = Api(remote, started)
    gate = Gate(api, sessions, templates, example_model, public_url)
    mine = Mine(remote, verify, service_token)
    sign_in = SignIn(api, remote, mine, sessions, templates)
    get, both = ["GET"], ["GET", "POST"]
    home = gate.guard(overview.home(mine.show), holders=True)
    leave = gate.guard(out, holders=True)
    static = StaticFiles(directory=HERE / "static")
    return [
        Mount(f"{HOME}/static", static, middleware=FILE_HEADERS),
        Route(HOME, home, methods=get, middleware=HEADERS),
        Route(SIGN_IN, sign_in.show, methods=both, middleware=HEADERS),
        Route(f"{HOME}/sign-out", leave, methods=["POST"], middleware=HEADERS),
        *(Route(at, gate.guard(p), methods=both, middleware=HEADERS) for at, p in _FORMS),
        *(Route(at, gate.guard(p), methods=get, middleware=HEADERS) for at, p in _PAGES),
        Route(f"{HOME}/{{rest:path}}", gate.guard(nothing, holders=True), middleware=HEADERS),
    ]


async def nothing(visit: Visit) -> NoReturn:
    raise invalid("The console has no such page.", code="not_found", status=404)
