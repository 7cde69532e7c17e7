"""What the console shows while a service is away."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from services.common.errors import Unavailable
from services.edge.admin.remote import Remote
from services.edge.console.routes import console_routes
from services.edge.console.session import COOKIE, Session, Sessions
from services.edge.envelope import Envelope
from services.edge.metrics import EdgeMetrics
from services.edge.principal import Principal
from tests.console.browser import hidden
from tests.edge_admin.recorder import Recorder

TOKEN = "a-service-token-of-more-than-32-characters"
SESSION = Session("admin", "an-admin-key", "ada", "", "the-token", 4_000_000_000)
WRITE = {"origin": "http://edge", "sec-fetch-site": "same-origin"}


async def nobody(key_hash: str) -> Principal:
    raise Unavailable("auth is away")


@asynccontextmanager
async def console(*, auth: bool, quota: bool) -> AsyncIterator[tuple[httpx.AsyncClient, Recorder]]:
    """A signed-in browser at a console; a recorder answers for the services that are there."""
    recorder = Recorder()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop, 0)
        there, away = f"127.0.0.1:{port}", "127.0.0.1:1"
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(there if up else away))
            for up in (auth, quota)
        ]
        remote = Remote(*channels, service_token=TOKEN)
        routes = console_routes(remote, verify=nobody, service_token=TOKEN, example_model="a/b")
        metrics = EdgeMetrics(CollectorRegistry())
        app = Starlette(routes=routes, middleware=[Middleware(Envelope, metrics=metrics)])
        browser = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://edge")
        )
        browser.cookies.set(COOKIE, _cookie(), path="/console")
        yield browser, recorder


def _cookie() -> str:
    response = Response()
    request = Request({"type": "http", "headers": [], "scheme": "http", "path": "/"} | _EDGE)
    Sessions(TOKEN, lambda: 0.0).keep(SESSION, request, response)
    return response.headers["set-cookie"].partition(";")[0].partition("=")[2]


_EDGE = {"method": "GET", "query_string": b"", "server": ("edge", 80)}


async def test_the_overview_tells_what_is_up_while_auth_is_away() -> None:
    async with console(auth=False, quota=True) as (browser, _):
        answer = await browser.get("/console")
    assert answer.status_code == 200
    assert "<b>auth</b> unavailable" in answer.text and "<b>quota</b> ok" in answer.text
    assert "The auth service does not answer" in answer.text
    assert "Nothing here yet" not in answer.text


async def test_the_overview_tells_what_is_up_while_quota_is_away() -> None:
    async with console(auth=True, quota=False) as (browser, _):
        answer = await browser.get("/console")
    assert answer.status_code == 200
    assert "<b>quota</b> unavailable" in answer.text and "<b>auth</b> ok" in answer.text


async def test_other_pages_say_that_they_cannot_be_shown_and_how_to_try_again() -> None:
    async with console(auth=False, quota=False) as (browser, _):
        for path in ("/console/users", "/console/organizations/org_a", "/console/audit"):
            answer = await browser.get(path)
            assert answer.status_code == 503
            assert "do not answer at the moment" in answer.text
            assert f'href="{path}"' in answer.text


async def test_nobody_is_signed_out_or_in_by_an_outage() -> None:
    async with console(auth=False, quota=False) as (browser, _):
        assert "set-cookie" not in (await browser.get("/console/users")).headers
        for key in ("an-admin-key", "gw_live_" + "0" * 38):
            answer = await browser.post("/console/sign-in", data={"key": key}, headers=WRITE)
            assert answer.status_code == 503
            assert "set-cookie" not in answer.headers


async def test_a_form_sent_again_after_an_outage_carries_the_same_idempotency_key() -> None:
    path = "/console/organizations/new"
    async with console(auth=True, quota=True) as (browser, recorder):
        recorder.answers["CreateOrganization"] = Unavailable("away")
        fields = hidden((await browser.get(path)).text) | {"name": "A", "monthly_budget_usd": "1"}
        failed = await browser.post(path, data=fields, headers=WRITE)
        assert failed.status_code == 503
        assert "it is done only once" in failed.text
        recorder.answers["CreateOrganization"] = admin_pb2.Organization(org_id="org_a")
        again = fields | hidden(failed.text)
        assert (await browser.post(path, data=again, headers=WRITE)).status_code == 303
    sent = [m["idempotency-key"] for rpc, _, m in recorder.asked if rpc == "CreateOrganization"]
    assert len(sent) == 2 and len(set(sent)) == 1
