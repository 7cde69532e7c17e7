"""One request of a signed-in browser, and the forms of an answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.edge.console.api import Api, Call, Query
from services.edge.console.session import Session


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a signed-in browser. ``form`` is empty for a GET."""

    request: Request
    session: Session
    api: Api
    templates: Environment
    example_model: str
    public_url: str
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether htmx asks for a fragment."""
        return is_htmx(self.request)

    @property
    def writing(self) -> bool:
        return self.request.method == "POST"

    @property
    def base_url(self) -> str:
        """Where clients of this gateway send their requests; as this browser sees it, unless the
        gateway was told."""
        if self.public_url:
            return f"{self.public_url}/v1"
        forwarded = self.request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
        scheme = "https" if forwarded == "https" else self.request.url.scheme
        return f"{scheme}://{self.request.url.netloc}/v1"

    def id(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        return self.request.query_params.get(name, "")

    async def get(self, path: str, query: Query | None = None) -> Any:
        return await self.api.ask(self.request, self.session.secret, Call("GET", path, query))

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, once: str = ""
    ) -> Any:
        call = Call(method, path, None, body, once)
        return await self.api.ask(self.request, self.session.secret, call)

    async def rehearse_delete(self, path: str) -> Any:
        """What would go with it."""
        call = Call("DELETE", path, {"validate_only": "true"})
        return await self.api.ask(self.request, self.session.secret, call)

    def download(self, path: str, query: Query) -> Response:
        return self.api.stream(self.request, self.session.secret, Call("GET", path, query))

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        return page(self.templates, self.request, self.session, template, status, **values)

    def go(self, url: str) -> Response:
        return go(self.request, url)


def page(
    templates: Environment,
    request: Request,
    session: Session | None,
    template: str,
    status: int = 200,
    **values: Any,
) -> Response:
    """A page, or for htmx only what is inside it."""
    shown = templates.get_template(template).render(
        layout="fragment.html" if is_htmx(request) else "layout.html",
        session=session,
        here=request.url.path,
        done=request.query_params.get("done", ""),
        now=time.time(),
        **values,
    )
    headers = {"vary": "HX-Request, Cookie"}
    return Response(shown, status, headers, media_type="text/html; charset=utf-8")


def go(request: Request, url: str) -> Response:
    """Send the browser elsewhere; htmx is told by its own header."""
    if is_htmx(request):
        return Response(status_code=204, headers={"hx-redirect": url})
    return RedirectResponse(url, 303)


def is_htmx(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"
