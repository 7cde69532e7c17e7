"""Several processes of each service on one port: GATEWAY_{EDGE,AUTH,QUOTA}_WORKERS."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.system.accounts import open_holds
from tests.system.fleet import (
    ADMIN_KEY,
    MASTER_KEY,
    SERVICE_TOKEN,
    Fleet,
    environment,
    fleet,
    free_ports,
)
from tests.system.process import Process
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

BODY = {"model": "simulator/echo", "messages": [{"role": "user", "content": "hello"}]}
WORKERS = {f"GATEWAY_{name}_WORKERS": "2" for name in ("EDGE", "AUTH", "QUOTA")}


@pytest.fixture(scope="module")
def crowd() -> Iterator[Fleet]:
    with fleet(settings=WORKERS) as running:
        for process in (*running.auths, *running.quotas, *running.edges):
            wait_until(partial(both_listen, process), 60)
        yield running


def both_listen(process: Process, before: int = 0) -> bool:
    return len(said(process, "listening")) >= before + 2


def restart(process: Process) -> None:
    """Both of its workers are there afterwards, not only the first that answers."""
    before = len(said(process, "listening"))
    process.restart()
    wait_until(lambda: both_listen(process, before), 60)


def said(process: Process, event: str) -> list[dict[str, Any]]:
    """The lines of its log that tell this, its workers' among them."""
    lines = process.log.read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in told if line["event"] == event]


def pids(process: Process) -> dict[int, int]:
    """The process id of each worker that was started last, by its number."""
    return {line["number"]: line["pid"] for line in said(process, "worker_started")}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ask(running: Fleet, key: str, count: int) -> None:
    """So many answers, each on a connection of its own."""
    for _ in range(count):
        wait_until(lambda: served(running, key))


def served(running: Fleet, key: str) -> bool:
    """False for what clients ask again: nothing was admitted."""
    with httpx.Client(timeout=20, transport=httpx.HTTPTransport(retries=3)) as client:
        answer = client.post(
            f"{running.urls[0]}/v1/chat/completions",
            json=BODY,
            headers={"authorization": f"Bearer {key}"},
        )
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200


def counted(running: Fleet, org: str) -> int:
    return int(running.look(f"/organizations/{org}/usage")["request_count"])


def member(running: Fleet, email: str) -> tuple[str, str]:
    """Once those who are asked for it are back: the test before may have stopped them."""
    running.look("/organizations")
    org = running.organization()
    return org, running.key(running.user(org, email))["api_key"]


def test_requests_are_spread_over_the_workers(crowd: Fleet) -> None:
    _, key = member(crowd, "spread@example.com")
    ask(crowd, key, 40)
    lines = said(crowd.edges[0], "request")
    spread = Counter(line["worker"] for line in lines if line["path"] == "/v1/chat/completions")
    assert set(spread) == {1, 2}, spread


def test_each_worker_is_an_edge_of_its_own_for_the_ledger(crowd: Fleet) -> None:
    edge_ids = {line["worker"]: line["edge_id"] for line in said(crowd.edges[0], "listening")}
    assert len(set(edge_ids.values())) == 2


@pytest.mark.parametrize("service", ["edges", "quotas", "auths"])
def test_a_worker_that_is_killed_takes_nothing_with_it_and_is_started_again(
    crowd: Fleet, service: str
) -> None:
    parent: Process = getattr(crowd, service)[0]
    org, key = member(crowd, f"{service}@example.com")
    ask(crowd, key, 10)
    wait_until(lambda: counted(crowd, org) == 10 and open_holds(crowd.kv_url, org) == 0)
    before, listening = pids(parent), len(said(parent, "listening"))
    edge_ids = {line["edge_id"] for line in said(crowd.edges[0], "listening")}
    os.kill(before[1], signal.SIGKILL)
    wait_until(lambda: not alive(before[1]))
    ask(crowd, key, 10)
    wait_until(lambda: len(said(parent, "listening")) > listening, 60)
    assert pids(parent)[2] == before[2] and pids(parent)[1] != before[1]
    assert said(parent, "worker_died")[-1]["exit_code"] == -signal.SIGKILL
    ask(crowd, key, 10)
    wait_until(lambda: counted(crowd, org) == 30 and open_holds(crowd.kv_url, org) == 0)
    assert crowd.look(f"/organizations/{org}/verify")["ok"] is True
    # The one that was started again found what the killed one left, and is the same edge.
    assert {line["edge_id"] for line in said(crowd.edges[0], "listening")} == edge_ids


@pytest.mark.parametrize(
    ("service", "workers"), [("edge", "1"), ("edge", "3"), ("auth", "1"), ("quota", "3")]
)
def test_a_second_server_on_the_port_is_refused(crowd: Fleet, service: str, workers: str) -> None:
    first: Process = getattr(crowd, f"{service}s")[0]
    more = {f"GATEWAY_{service.upper()}_WORKERS": workers}
    second = run(service, first.environment | more)
    assert second.returncode == 2
    assert f"cannot listen on {first.address}" in second.stderr


def test_workers_do_not_outlive_a_parent_that_is_killed(crowd: Fleet) -> None:
    auth = crowd.auths[0]
    left = pids(auth).values()
    auth.kill()
    wait_until(lambda: not any(alive(pid) for pid in left), 30)
    restart(auth)


def test_sigterm_stops_every_worker_and_tells_that_all_ended_well(crowd: Fleet) -> None:
    for process in (crowd.edges[0], crowd.quotas[0], crowd.auths[0]):
        everyone = pids(process).values()
        assert all(alive(pid) for pid in everyone)
        assert process.stop() == 0, process.log.read_text()[-4_000:]
        assert not any(alive(pid) for pid in everyone)
        stopped = [line.get("worker", 0) for line in said(process, "stopped")]
        assert sorted(stopped[-3:]) == [0, 1, 2]
    # Tests run in any order: the next one finds everybody at work.
    for process in (crowd.auths[0], crowd.quotas[0], crowd.edges[0]):
        restart(process)


def test_workers_whose_settings_are_wrong_end_the_parent_with_the_reason() -> None:
    told = environment(
        GATEWAY_EDGE_WORKERS="2",
        GATEWAY_EDGE_LISTEN="127.0.0.1:0",
        GATEWAY_EDGE_METRICS_LISTEN="",
        GATEWAY_SERVICE_TOKEN="weak",
    )
    ended = run("edge", told)
    assert ended.returncode == 2
    assert "GATEWAY_SERVICE_TOKEN is too weak" in ended.stderr


def test_a_unix_socket_cannot_be_shared_and_is_refused_by_its_variable(tmp_path: Path) -> None:
    told = environment(GATEWAY_AUTH_WORKERS="2", GATEWAY_AUTH_LISTEN=f"unix:{tmp_path}/auth")
    ended = run("auth", told)
    assert ended.returncode == 2
    assert "error: GATEWAY_AUTH_LISTEN: several workers cannot share unix:" in ended.stderr


def test_each_worker_serves_its_own_metrics(kv_url: str, tmp_path: Path) -> None:
    [listen, metrics] = free_ports(2)
    told = environment(
        REDIS_URL=kv_url,
        ADMIN_API_KEY=ADMIN_KEY,
        GATEWAY_SERVICE_TOKEN=SERVICE_TOKEN,
        GATEWAY_MASTER_KEY=MASTER_KEY,
        GATEWAY_AUTH_WORKERS="2",
        GATEWAY_AUTH_LISTEN=f"127.0.0.1:{listen}",
        GATEWAY_AUTH_METRICS_LISTEN=f"127.0.0.1:{metrics}",
    )
    auth = Process("auth", "auth", told, f"127.0.0.1:{listen}", tmp_path / "auth.log")
    auth.restart()
    try:
        for port in (metrics, metrics + 10):
            wait_until(partial(answers, port), 60)
            text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            assert "process_cpu_seconds_total" in text
    finally:
        assert auth.stop() == 0


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(service: str, told: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        env=told,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
