"""The process: ready or not, draining, cut off from the others, started wrongly."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.common import secret
from services.edge import admission
from services.edge.app import build_admin
from services.edge.metrics import EdgeMetrics
from services.edge.server import HttpServer
from tests.edge.wire import ask, bearer, chat, raw_connection, raw_request, sim
from tests.edge.world import SERVICE_TOKEN, World

ROOT = Path(__file__).parents[2]
NOBODY = "127.0.0.1:1"


def held(gateway: World, org: str, user: str) -> int:
    return int(gateway.ask_quota("GetUsage", owner={"org_id": org, "user_id": user}).held_count)


def test_it_is_alive_and_ready(gateway: World) -> None:
    assert ask(gateway.url, "GET", "/healthz").json == {"status": "ok"}
    assert ask(gateway.url, "GET", "/readyz").json == {"status": "ready"}


def test_without_auth_nobody_is_let_in_and_nobody_is_called_wrong(gateway: World) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    with gateway.another_edge(auth_target=NOBODY) as url:
        assert ask(url, "GET", "/healthz").status == 200
        ready = ask(url, "GET", "/readyz")
        assert ready.status == 503
        assert "gateway.auth.v1.AuthService" in ready.json["failing"]
        reply = chat(url, member)
    assert (reply.status, reply.error["code"]) == (503, "auth_unavailable")
    assert 1 <= int(reply.headers["retry-after"]) <= 5
    assert gateway.simulator.witness.records() == []


def test_without_quota_nothing_is_sent_to_the_provider(gateway: World) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    with gateway.another_edge(quota_target=NOBODY, drain_seconds=0) as url:
        ready = ask(url, "GET", "/readyz")
        assert ready.json["failing"] == ["gateway.quota.v1.QuotaService"]
        reply = chat(url, member)
        usage = ask(url, "GET", "/v1/usage", headers=bearer(member))
    assert (reply.status, reply.error["code"]) == (503, "quota_unavailable")
    assert 1 <= int(reply.headers["retry-after"]) <= 5
    assert (usage.status, usage.error["code"]) == (503, "quota_unavailable")
    assert gateway.simulator.witness.records() == []


def test_a_running_stream_ends_before_the_process_does(gateway: World) -> None:
    member = gateway.member()
    messages = sim("drip=50 chunks=20", "x" * 80)
    with ThreadPoolExecutor(1) as pool:
        with gateway.another_edge(drain_seconds=10) as url:
            running = pool.submit(chat, url, member, messages=messages, stream=True)
            while not held(gateway, member.org, member.user):
                time.sleep(0.01)
        reply = running.result(10)
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert list(gateway.settled(member).flags) == []


def test_a_stream_that_outlives_the_drain_is_charged_for_what_was_delivered(
    gateway: World,
) -> None:
    member = gateway.member()
    messages = sim("drip=100 chunks=200", "x" * 800)
    with ThreadPoolExecutor(1) as pool:
        with gateway.another_edge(drain_seconds=1) as url:
            running = pool.submit(chat, url, member, messages=messages, stream=True)
            while not held(gateway, member.org, member.user):
                time.sleep(0.01)
        with pytest.raises(Exception):  # noqa: B017 - the connection breaks somehow
            assert b"[DONE]" in running.result(10).body
    entry = gateway.settled(member)
    assert {"estimated", "partial"} == set(entry.flags)
    assert 0 < entry.usage.output_tokens < 200


def test_a7_guessing_from_one_address_is_limited_and_others_are_not_harmed(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_WRONG_KEYS", 20)
    member = gateway.member()
    with gateway.another_edge() as url:
        statuses = []
        for _ in range(22):
            wrong = {"authorization": f"Bearer {secret.mint(secret.API_KEY)}"}
            statuses.append(ask(url, "GET", "/v1/models", headers=wrong).status)
        assert statuses == [401] * 20 + [429] * 2
        assert ask(url, "GET", "/v1/models", headers=bearer(member)).status == 200


async def test_who_is_told_to_stop_asks_its_clients_to_connect_anew() -> None:
    app = build_admin([], EdgeMetrics(CollectorRegistry()))
    server = HttpServer(app, listen="127.0.0.1:0", drain_seconds=1, max_connections=9)
    await server.start()
    async with httpx.AsyncClient(timeout=20) as client:
        before = await client.get(f"http://{server.address}/healthz")
        server.leave()
        after = await client.get(f"http://{server.address}/healthz")
        async with asyncio.timeout(20):
            while server.server_state.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await server.stop()
    assert (before.status_code, before.headers.get("connection")) == (200, None)
    assert (after.status_code, after.headers.get("connection")) == (200, "close")


def test_one_connection_carries_many_requests(gateway: World) -> None:
    member = gateway.member()
    body = {"model": "simulator/echo", "messages": [{"role": "user", "content": "Hello"}]}
    with httpx.Client(timeout=20) as client:
        for stream in (False, True, False):
            answer = client.post(
                f"{gateway.url}/v1/chat/completions",
                json={**body, "stream": stream},
                headers=bearer(member),
            )
            assert answer.status_code == 200
        pool = client._transport._pool  # type: ignore[attr-defined]
        assert len(pool.connections) == 1


def test_r19_the_body_is_asked_for_when_the_client_waits_to_be(gateway: World) -> None:
    member = gateway.member()
    body = json.dumps({"model": "simulator/echo", "messages": [{"role": "user", "content": "Hi"}]})
    request = raw_request(member, body.encode(), "expect: 100-continue")
    head, _, rest = request.partition(b"\r\n\r\n")
    with raw_connection(gateway.url) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(rest)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_too_large_is_refused_without_being_asked_for(gateway: World) -> None:
    member = gateway.member()
    size = gateway.edge_settings.max_body_bytes + 1
    request = raw_request(member, b"", "expect: 100-continue")
    request = request.replace(b"content-length: 0", b"content-length: %d" % size)
    with raw_connection(gateway.url) as connection:
        began = time.monotonic()
        connection.sendall(request)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - began < 1.5


def test_r19_a_wrong_key_is_told_before_the_body_is_sent(gateway: World) -> None:
    member = gateway.member()
    request = raw_request(member, b"x" * 1_000).replace(member.key.encode(), b"gw_live_wrong")
    with raw_connection(gateway.url) as connection:
        connection.sendall(request.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_connections_above_the_limit_are_refused(gateway: World) -> None:
    with gateway.another_edge(max_connections=2) as url:
        with raw_connection(url) as one, raw_connection(url) as two:
            for connection in (one, two):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: e\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
            with raw_connection(url) as three:
                assert three.recv(100).startswith(b"HTTP/1.1 503 ")
        assert ask(url, "GET", "/healthz").status == 200


def started(**environment: str) -> subprocess.CompletedProcess[str]:
    told = {"GATEWAY_EDGE_LISTEN": "127.0.0.1:0", "GATEWAY_EDGE_METRICS_LISTEN": ""}
    return subprocess.run(
        [sys.executable, "-m", "services.edge"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}", **told, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a12_a_weak_token_is_one_clear_line() -> None:
    ended = started(GATEWAY_SERVICE_TOKEN="x" * 31)
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: GATEWAY_SERVICE_TOKEN is too weak")


def test_a_busy_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = started(GATEWAY_SERVICE_TOKEN=SERVICE_TOKEN, GATEWAY_EDGE_LISTEN=listen)
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: cannot listen on {listen}")
