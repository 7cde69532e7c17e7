"""One request id through the logs of edge, auth and quota."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.system.fleet import Fleet, fleet
from tests.system.process import Process
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    with fleet(settings={"GATEWAY_LOG_LEVEL": logging.getLevelName(logging.DEBUG)}) as made:
        yield made


def ask(running: Fleet, key: str) -> httpx.Response:
    return running.client.post(
        f"{running.urls[0]}/v1/chat/completions",
        json={"model": "simulator/echo", "messages": [{"role": "user", "content": "hello"}]},
        headers={"authorization": f"Bearer {key}"},
    )


def events(process: Process, request_id: str) -> dict[str, dict[str, Any]]:
    """The lines that name this request, by their event."""
    lines = process.log.read_text().splitlines()
    told = [json.loads(line) for line in lines if request_id in line and line.endswith("}")]
    return {line["event"]: line for line in told if line.get("request_id") == request_id}


def test_an_answered_request_is_found_in_the_logs_of_all_three(running: Fleet) -> None:
    user = running.user(running.organization(), "served@example.com")
    answer = ask(running, running.key(user)["api_key"])
    assert answer.status_code == 200
    request_id = answer.headers["x-request-id"]
    [edge], [auth], [quota] = running.edges, running.auths, running.quotas
    wait_until(lambda: "request" in events(edge, request_id))
    wait_until(lambda: "settle" in events(quota, request_id))
    reserve, settle = (events(quota, request_id)[name] for name in ("reserve", "settle"))
    assert reserve["reservation_id"] == settle["reservation_id"]
    wait_until(lambda: "rpc" in events(auth, request_id))
    assert events(auth, request_id)["rpc"]["method"] == "/gateway.auth.v1.AuthService/VerifyApiKey"


def test_a_request_over_budget_is_found_with_the_reason_in_quotas_log(running: Fleet) -> None:
    org = running.organization("0.000001")
    answer = ask(running, running.key(running.user(org, "poor@example.com"))["api_key"])
    assert answer.status_code == 429
    request_id = answer.headers["x-request-id"]
    wait_until(lambda: "reserve_refused" in events(running.quotas[0], request_id))
    told = events(running.quotas[0], request_id)["reserve_refused"]
    assert (told["reason"], told["level"]) == ("BUDGET_EXHAUSTED", "info")
    wait_until(lambda: "request" in events(running.edges[0], request_id))
    assert events(running.edges[0], request_id)["request"]["refused"] == "insufficient_quota"


def test_a_revoked_key_is_found_with_the_reason_in_auths_log(running: Fleet) -> None:
    user = running.user(running.organization(), "gone@example.com")
    key = running.key(user)
    running.admin("DELETE", f"/users/{user}/api-keys/{key['key_id']}")
    answer = ask(running, key["api_key"])
    assert answer.status_code == 401
    auth, request_id = running.auths[0], answer.headers["x-request-id"]
    wait_until(lambda: "rpc_refused" in events(auth, request_id))
    told = events(auth, request_id)["rpc_refused"]
    assert (told["reason"], told["level"]) == ("API_KEY_INVALID", "info")


def test_an_admin_request_is_found_in_the_log_of_the_service_behind_it(running: Fleet) -> None:
    answer = running.client.get(
        f"{running.urls[0]}/admin/organizations/org_missing",
        headers={"authorization": f"Bearer {running.edges[0].environment['ADMIN_API_KEY']}"},
    )
    assert answer.status_code == 404
    auth, request_id = running.auths[0], answer.headers["x-request-id"]
    wait_until(lambda: "rpc_refused" in events(auth, request_id))
    told = events(auth, request_id)["rpc_refused"]
    assert told["method"].endswith("/GetOrganization")
