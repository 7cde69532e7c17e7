"""The login that the manifests give auth and quota is enough for all they do, and for no more."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import redis

from services.launch import kv
from tests.system.fleet import Fleet, fleet

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
MANIFESTS = ("compose.yaml", "k8s/base/valkey.yaml", "k8s/components/cluster-kv/statefulset.yaml")
PASSWORD = "p" * 40


def rights(manifest: str) -> list[str]:
    """What the user `gateway` may do, as the manifest says it to the KV."""
    (line,) = re.findall(r'"user gateway on >\$+KV_PASSWORD (.*)"', (DEPLOY / manifest).read_text())
    return str(line).split()


def test_all_manifests_give_the_same_rights() -> None:
    alone, base, cluster = map(rights, MANIFESTS)
    assert alone == base
    assert set(cluster) - set(base) == {"+cluster|slots", "+cluster|shards"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="kv-") as made, kv.running(Path(made)) as url:
        with redis.Redis.from_url(url, protocol=3) as client:
            words = [f">{PASSWORD}", *rights(MANIFESTS[0])]
            client.execute_command("ACL", "SETUSER", "gateway", "on", *words)
            client.execute_command("ACL", "SETUSER", "default", "off")
        yield url.replace("unix://", f"unix://gateway:{PASSWORD}@")


@pytest.fixture(scope="module")
def running(url: str) -> Iterator[Fleet]:
    with fleet(kv_url=url) as started:
        yield started


def test_the_login_is_enough_for_all_that_auth_and_quota_do(running: Fleet) -> None:
    admin = running.admin
    org = running.organization(failure_mode="fail-open", fallback_daily_limit_usd="1")
    user = running.user(org, "login@example.com", requests_per_minute=1_000)
    key = running.key(user)
    with httpx.Client(headers={"authorization": f"Bearer {key['api_key']}"}, timeout=20) as client:
        body: dict[str, Any] = {
            "model": "simulator/echo",
            "messages": [{"role": "user", "content": "hello"}],
        }
        for stream in (False, True):
            answer = client.post(
                f"{running.urls[0]}/v1/chat/completions", json={**body, "stream": stream}
            )
            assert answer.status_code == 200, answer.text
        assert client.get(f"{running.urls[0]}/v1/usage").status_code == 200
    admin("PUT", f"/organizations/{org}/provider-keys/openai", {"credential": "sk-" + "x" * 40})
    admin("POST", "/provider-keys/rewrap")
    admin("PATCH", f"/users/{user}", {"monthly_limit_usd": "5"})
    admin("POST", f"/users/{user}/reset-quota", {"reason": "test"})
    for path in (
        "/organizations",
        f"/organizations/{org}/usage",
        f"/organizations/{org}/users",
        f"/organizations/{org}/journal",
        f"/users/{user}/usage",
        f"/users?org_id={org}",
        f"/users/{user}/api-keys",
        f"/usage?org_id={org}",
        f"/audit?org_id={org}",
        "/audit/verify",
        "/metrics",
        "/health",
    ):
        admin("GET", path)
    admin("POST", f"/users/{user}/api-keys/{key['key_id']}/rotate")
    admin("DELETE", f"/users/{user}/api-keys/{key['key_id']}")
    assert admin("GET", f"/organizations/{org}/verify")["ok"] is True
    admin("DELETE", f"/users/{user}")
    admin("DELETE", f"/organizations/{org}")
    for process in (*running.auths, *running.quotas):
        assert "NOPERM" not in process.log.read_text()
        assert "No permissions" not in process.log.read_text()


@pytest.mark.parametrize("command", ["FLUSHALL", "CONFIG GET *", "KEYS *", "SHUTDOWN", "MONITOR"])
def test_F5_the_login_cannot_empty_read_out_or_stop_the_store(url: str, command: str) -> None:
    with (
        redis.Redis.from_url(url, protocol=3) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())
