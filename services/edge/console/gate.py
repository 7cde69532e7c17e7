"""The console's border: who is signed in, whether a write is theirs, and refusals as pages.

cookie → session → (write: same origin, token) → page → the admin API's refusals as pages
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from services.common.errors import GatewayError
from services.edge.console.api import Api
from services.edge.console.session import ADMIN, Session, Sessions, own_write, same_token
from services.edge.console.visit import Visit, go, is_htmx, page
from services.edge.errors import ApiError, invalid
from services.edge.exchange import Exchange

HOME = "/console"
SIGN_IN = "/console/sign-in"
AWAY = "The gateway's services do not answer at the moment. Try again in a moment."
MAX_FORM_BYTES = 64 * 1024

_TITLES = {
    403: "Not allowed",
    404: "Not found",
    413: "Too large",
    429: "Too many attempts",
    503: "Not available at the moment",
}

Page = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Turns pages into Starlette endpoints."""

    def __init__(
        self, api: Api, sessions: Sessions, templates: Environment, model: str, url: str
    ) -> None:
        self._api = api
        self._sessions = sessions
        self._templates = templates
        self._model = model
        self._url = url.rstrip("/")

    def guard(self, show: Page, *, holders: bool = False) -> Endpoint:
        """An endpoint for operators; with ``holders`` for key holders as well."""

        async def endpoint(request: Request) -> Response:
            session = self._sessions.of(request)
            if session is None:
                return self._sign_in(request)
            if session.kind != ADMIN and not holders:
                return self._say(request, session, 403, "This page is for operators.")
            try:
                form = await _admit(request, session)
                visit = Visit(
                    request,
                    session,
                    self._api,
                    self._templates,
                    self._model,
                    self._url,
                    form,
                )
                return await show(visit)
            except ApiError as refused:
                if refused.status == 401:
                    return self._sign_in(request, ended=True)
                said = AWAY if refused.status >= 500 else refused.message
                return self._say(request, session, refused.status, said)
            except GatewayError as error:
                if error.reason in ("API_KEY_INVALID", "CREDENTIAL_INVALID"):
                    return self._sign_in(request, ended=True)
                return self._say(request, session, 503, AWAY)

        return endpoint

    def _sign_in(self, request: Request, *, ended: bool = False) -> Response:
        asked = {"ended": "1"} if ended else {}
        if request.method == "GET" and request.url.path != HOME and not is_htmx(request):
            asked["next"] = request.url.path
        response = go(request, SIGN_IN + ("?" + urlencode(asked) if asked else ""))
        if ended:
            self._sessions.end(request, response)
        return response

    def _say(self, request: Request, session: Session, status: int, message: str) -> Response:
        title = _TITLES.get(status, "That did not work")
        return page(
            self._templates,
            request,
            session,
            "message.html",
            status,
            title=title,
            message=message,
            again=status in (429, 503),
        )


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises ApiError."""
    raw = await Exchange(request.scope, request.receive, _unused).body(MAX_FORM_BYTES)
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError:
        raise invalid("The form could not be read.", code="invalid_form", status=400) from None


async def _unused(message: Message) -> None:
    raise RuntimeError("the endpoint answers")


async def _admit(request: Request, session: Session) -> dict[str, str]:
    """The form of a write that a page of ours sent for this very session; nothing for a read."""
    if request.method != "POST":
        return {}
    if not own_write(request):
        raise invalid(
            "This write did not come from the console's own pages.", code="cross_site", status=403
        )
    form = await read_form(request)
    if not same_token(session, form.pop("csrf", "")):
        raise invalid(
            "This form is from an older session; load the page again.", code="csrf", status=403
        )
    return form
