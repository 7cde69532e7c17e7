"""Who may ask, and what each refusal of a service becomes in HTTP."""

import grpc
import httpx
import pytest

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from services.common import errors
from services.edge.admin.remote import Remote
from services.edge.admin.routes import admin_routes
from tests.edge_admin.conftest import ADMIN_KEY, SERVICE_TOKEN, Api, application

PATHS = {
    "org_id": "org_a",
    "user_id": "user_a",
    "key_id": "key_a",
    "provider": "openai",
    "admin_key_id": "adm_a",
}


def mounted() -> list[tuple[str, str]]:
    """Every method and path the admin API has."""
    channel = grpc.insecure_channel("127.0.0.1:1")
    remote = Remote(channel, channel, service_token="")  # type: ignore[arg-type]
    found = [
        (method, route.path)
        for route in admin_routes(remote)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    channel.close()
    return found


ROUTES = [(method, path.format(**PATHS)) for method, path in mounted()]


def test_the_table_has_every_route_of_the_design() -> None:
    assert len(ROUTES) > 30


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a1_no_admin_route_answers_without_a_key(api: Api, method: str, path: str) -> None:
    del api.http.headers["authorization"]
    answer = await api.send(method, path)
    assert (answer.status_code, api.recorder.asked) == (401, [])
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a9_an_api_key_is_403_on_every_admin_route(api: Api, method: str, path: str) -> None:
    headers = {"authorization": "Bearer gw_live_" + "0" * 38}
    answer = await api.send(method, path, headers=headers)
    assert (answer.status_code, api.recorder.asked) == (403, [])


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_wrong_key_is_401_before_the_body_is_looked_at(
    api: Api, method: str, path: str
) -> None:
    api.recorder.answers["GetAdminIdentity"] = errors.Unauthenticated("no")
    answer = await api.send(method, path, content=b"{not json")
    assert answer.status_code == 401
    assert {name for name, _, _ in api.recorder.asked} == {"GetAdminIdentity"}


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer \xe4", "x" * 600]
)
async def test_a_malformed_credential_is_401_and_asks_nobody(api: Api, authorization: str) -> None:
    headers = {"authorization": authorization.encode("latin-1")}
    answer = await api.http.get("/admin/users", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, api.recorder.asked) == (401, [])


async def test_a2_two_credentials_are_refused(api: Api) -> None:
    headers = [("authorization", f"Bearer {ADMIN_KEY}"), ("authorization", "Bearer other")]
    answer = await api.http.get("/admin/users", headers=headers)
    assert (answer.status_code, api.recorder.asked) == (400, [])


async def test_a3_a_key_in_the_query_is_no_key(api: Api) -> None:
    del api.http.headers["authorization"]
    assert (await api.send("GET", f"/admin/users?api_key={ADMIN_KEY}")).status_code == 401


MAPPED = [
    (errors.Unauthenticated("x"), 401, "invalid_api_key", None),
    (errors.PermissionDenied("x"), 403, "permission_denied", None),
    (errors.InvalidField("user.email", "is odd"), 422, "invalid_value", "email"),
    (errors.InvalidField("user.rates.tokens_per_minute", "is odd"), 422, "invalid_value", "tokens"),
    (errors.InvalidField("organization.monthly_budget_nano_usd", "x"), 422, "invalid_value", "mon"),
    (errors.InvalidField("api_key.expire_time", "x"), 422, "invalid_value", "expires_at"),
    (errors.NotFound("x", metadata={"resource": "org_id"}), 404, "not_found", "org_id"),
    (errors.AlreadyExists("x", metadata={"field": "email"}), 409, "already_exists", "email"),
    (errors.PreconditionFailed("x"), 409, "precondition_failed", None),
    (errors.Conflict("x"), 409, "idempotency_conflict", None),
    (errors.Unavailable("x"), 503, "auth_unavailable", None),
    (errors.Unavailable("x", reason="CLOCK_SKEW"), 503, "auth_unavailable", None),
    (errors.Internal("secret detail"), 500, None, None),
]


@pytest.mark.parametrize(("error", "status", "code", "param"), MAPPED, ids=range(len(MAPPED)))
async def test_each_refusal_has_one_status_and_the_envelope(
    api: Api, error: errors.GatewayError, status: int, code: str | None, param: str | None
) -> None:
    api.recorder.answers["CreateUser"] = error
    body = {"email": "a@b.example", "org_id": "org_a", "monthly_limit_usd": 1}
    answer = await api.send("POST", "/admin/users", json=body)
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert (answer.status_code, told["code"]) == (status, code)
    assert (told["param"] or "").startswith(param or "")
    assert told["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert "secret detail" not in answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")


async def test_an_unavailable_service_says_which_and_when_to_try_again(api: Api) -> None:
    api.recorder.answers["GetUsage"] = errors.Unavailable("x")
    answer = await api.send("GET", "/admin/users/user_a/usage")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "quota_unavailable")
    assert 1 <= int(answer.headers["retry-after"]) <= 5


async def test_a14_after_a_burst_of_wrong_keys_the_answer_says_when_to_come_back(api: Api) -> None:
    api.recorder.answers["GetAdminIdentity"] = errors.Exhausted(
        "Too many", reason="TOO_MANY_ATTEMPTS", retry_after_ms=41_500
    )
    answer = await api.send("GET", "/admin/users")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "42")
    assert answer.json()["error"]["code"] == "too_many_attempts"


@pytest.mark.parametrize("value", ["", "x" * 256, "a b", "é"])
async def test_a_bad_idempotency_key_is_422(api: Api, value: str) -> None:
    headers = {"idempotency-key": value.encode()}
    answer = await api.http.post("/admin/organizations", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "idempotency-key")
    assert api.recorder.asked == []


@pytest.mark.parametrize("path", ["/admin/users/{}", "/admin/users/user_a/api-keys/{}"])
@pytest.mark.parametrize("wrong", ["a%7Bb%7D", "x" * 65, "a%00b", "%F0%9F%92%B8", "a:b"])
async def test_what_cannot_be_an_id_is_404(api: Api, path: str, wrong: str) -> None:
    answer = await api.send("GET", path.format(wrong))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_two_methods_of_one_path_are_both_allowed(api: Api) -> None:
    answer = await api.send("DELETE", "/admin/users")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


async def test_health_tells_what_is_up_while_auth_is_away(
    recorder_channel: tuple[object, grpc.aio.Channel],
) -> None:
    _, quota = recorder_channel
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nobody:
        remote = Remote(nobody, quota, service_token=SERVICE_TOKEN)
        transport = httpx.ASGITransport(app=application(remote))
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://edge", headers=headers
        ) as http:
            health = await http.get("/admin/health")
            metrics = await http.get("/admin/metrics")
            users = await http.get("/admin/users")
    assert health.json()["status"] == metrics.json()["status"] == "degraded"
    assert health.json()["services"]["auth"]["status"] == "unavailable"
    assert health.json()["services"]["quota"]["status"] == "ok"
    assert metrics.json()["totals"]["users"] is None
    assert metrics.json()["totals"]["spent_usd"] == "0"
    assert (users.status_code, users.json()["error"]["code"]) == (503, "auth_unavailable")


async def test_quota_refuses_a_wrong_key_while_auth_is_away(api: Api) -> None:
    api.recorder.answers["GetAdminIdentity"] = errors.Unavailable("x")
    api.recorder.answers["GetMetrics"] = errors.Unauthenticated("x")
    assert (await api.send("GET", "/admin/health")).status_code == 401


async def test_metrics_join_directory_books_and_rankings(api: Api) -> None:
    api.recorder.answers["GetMetrics"] = quota_pb2.Metrics(
        month="2026-11", request_count=4, spent_nano_usd=1_500_000_000, kv_latency_micros=250
    )
    api.recorder.answers["GetStatus"] = admin_pb2.ServiceStatus(
        uptime_seconds=3_600, kv_latency_micros=125
    )
    top = quota_pb2.TopUser(user_id="user_a", email="a@b.example", spent_nano_usd=7)
    api.recorder.answers["ListTopUsers"] = quota_pb2.ListTopUsersResponse(users=[top])
    told = (await api.send("GET", "/admin/metrics?month=2026-11")).json()
    assert (told["status"], told["month"]) == ("ok", "2026-11")
    assert told["totals"]["spent_usd"] == "1.5"
    assert told["services"]["quota"]["kv_latency_ms"] == 0.25
    assert told["services"]["auth"]["latency_ms"] > 0
    assert told["services"]["auth"]["uptime_seconds"] == 3_600
    assert told["services"]["auth"]["kv_latency_ms"] == 0.125
    assert told["top_users_by_cost"][0]["spent_usd"] == "0.000000007"
    rankings = {request.ranking for request in api.recorder.requests("ListTopUsers")}
    assert rankings == {quota_pb2.RANKING_COST, quota_pb2.RANKING_REQUESTS}
