"""/console/sign-in: an admin key or an API key becomes a session."""

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from services.common import secret
from services.common.errors import GatewayError
from services.common.ids import new_request_id
from services.edge.admin.remote import Remote, call
from services.edge.console.api import Api, Call, path
from services.edge.console.gate import HOME, SIGN_IN, read_form
from services.edge.console.mine import Mine
from services.edge.console.session import ADMIN, HOLDER, Session, Sessions, own_write
from services.edge.console.visit import Visit, go, page
from services.edge.errors import ApiError, invalid

_WRONG = "This key does not work: it is mistyped, revoked or expired."


async def out(visit: Visit) -> Response:
    """Forget the session."""
    response = visit.go(SIGN_IN)
    Sessions.end(visit.request, response)
    return response


class SignIn:
    def __init__(
        self,
        api: Api,
        remote: Remote,
        mine: Mine,
        sessions: Sessions,
        templates: Environment,
    ) -> None:
        self._api = api
        self._remote = remote
        self._mine = mine
        self._sessions = sessions
        self._templates = templates

    async def show(self, request: Request) -> Response:
        """The form; and, when it was sent, a session or what was wrong."""
        if request.method != "POST":
            ended = "ended" in request.query_params
            said = "Your session is over: the key no longer works." if ended else ""
            return self._form(request, request.query_params.get("next", ""), said)
        try:
            if not own_write(request):
                raise invalid("Sign in on this page, please.", code="cross_site", status=403)
            form = await read_form(request)
            session = await self._session(request, form.get("key", "").strip())
        except ApiError as refused:
            return self._form(request, "", refused.message, refused.status)
        response = go(request, _safe(form.get("next", "")))
        self._sessions.keep(session, request, response)
        return response

    async def _session(self, request: Request, key: str) -> Session:
        if not (0 < len(key) <= 512 and key.isascii() and key.isprintable() and " " not in key):
            raise invalid(
                "Enter your key: gw_live_…, or an admin key.", code="invalid_value", status=422
            )
        if key.startswith(secret.API_KEY):
            return await self._holder(request, key)
        try:
            known = await self._api.ask(request, key, Call("GET", path("identity")))
        except ApiError as refused:
            if refused.status != 401:
                raise
            raise _wrong() from None
        return self._sessions.start(ADMIN, key, known["name"], known["org_id"] or "")

    async def _holder(self, request: Request, key: str) -> Session:
        digest = secret.digest(key)
        try:
            if not secret.well_formed(key):
                raise await self._count(request, key)
            who = await self._mine.verify(digest)
        except GatewayError as error:
            if error.reason != "API_KEY_INVALID":
                raise _unavailable() from None
            raise await self._count(request, key) from None
        return self._sessions.start(HOLDER, digest, f"{key[:12]}…{key[-4:]}", who.org_id)

    async def _count(self, request: Request, key: str) -> ApiError:
        """A wrong API key is a wrong credential like any other: auth counts it against the address
        it came from, and says when there were too many."""
        peer = request.client.host if request.client else "unknown"
        request_id = getattr(request.state, "request_id", "") or new_request_id()
        metadata = self._remote.as_operator(
            key, peer=peer, request_id=request_id, idempotency_key=""
        )
        asked = admin_pb2.GetAdminIdentityRequest()
        try:
            await call(self._remote.auth.GetAdminIdentity, asked, metadata, service="auth")
        except GatewayError as error:
            if error.reason == "TOO_MANY_ATTEMPTS":
                return invalid(error.message, code="too_many_attempts", status=429)
            if error.reason != "CREDENTIAL_INVALID":
                return _unavailable()
        return _wrong()

    def _form(self, request: Request, wanted: str, said: str, status: int = 200) -> Response:
        return page(
            self._templates,
            request,
            None,
            "sign_in.html",
            status,
            wanted=wanted,
            said=said,
        )


def _wrong() -> ApiError:
    return invalid(_WRONG, code="invalid_api_key", status=401)


def _unavailable() -> ApiError:
    return invalid(
        "The gateway cannot check keys now. Try again soon.", code="auth_unavailable", status=503
    )


def _safe(url: str) -> str:
    """Where to go after signing in: a page of the console, never another site."""
    ours = url == HOME or url.startswith(f"{HOME}/")
    plain = url.isprintable() and "\\" not in url and "//" not in url
    return url if ours and plain else HOME
