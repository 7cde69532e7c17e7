"""The process itself: it starts, says what is wrong in one line, and ends when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.auth.__main__ import AUTH_ADMIN
from services.common.dial import dial
from services.common.errors import GatewayError
from services.common.kv import open_kv
from tests.auth.conftest import ADMIN, MASTER, SERVICE, Auth, Client, Clock
from tests.system.fleet import free_ports
from tests.system.process import Process

ROOT = Path(__file__).parent.parent.parent


def environment(kv_url: str, **given: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        "REDIS_URL": kv_url,
        "ADMIN_API_KEY": ADMIN,
        "GATEWAY_SERVICE_TOKEN": SERVICE,
        "GATEWAY_MASTER_KEY": MASTER,
        "GATEWAY_AUTH_METRICS_LISTEN": "",
        "GATEWAY_LOG_FORMAT": "json",
        "GATEWAY_KV_TIMEOUT_MS": "2000",
        **given,
    }


@pytest.fixture
def process(tmp_path: Path, kv_flush: str) -> Iterator[Process]:
    """A healthy auth service of its own process, with debug logs in ``process.log``."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    given = environment(kv_flush, GATEWAY_AUTH_LISTEN=address, GATEWAY_LOG_LEVEL="debug")
    made = Process("auth", "auth", given, address, tmp_path / "log")
    made.start()
    try:
        made.wait_healthy()
        yield made
    finally:
        made.kill()


def test_it_serves_until_it_is_told_to_stop(process: Process) -> None:
    process.signal(signal.SIGTERM)
    assert process.popen is not None
    assert process.popen.wait(20) == 0
    told = process.log.read_text()
    assert "listening" in told and "stopped" in told


CANARY = "canary-0123456789abcdef-0123456789"


async def test_e2_secrets_are_neither_logged_nor_audited_nor_repeated(
    process: Process, kv_flush: str
) -> None:
    async with dial(process.address, AUTH_ADMIN) as channel:
        kv = open_kv(kv_flush, timeout_ms=2_000, connections=4)
        auth = Auth(process.address, channel, kv, Clock())
        org, user, made = await auth.family()
        admin_key = await auth.admin.CreateAdminKey(admin_key={"name": "Grace"})
        once = auth.admin.but(idempotency_key=CANARY)
        rotated = await once.RotateApiKey(user_id=user.user_id, key_id=made.api_key.key_id)
        provider = {"org_id": org.org_id, "provider": "openai"}
        await auth.admin.SetProviderKey(**provider, credential=CANARY)
        await auth.edge.GetProviderCredential(**provider)
        await auth.verify(rotated.secret)
        calls: list[tuple[Client, str, dict[str, Any]]] = [
            (auth.admin.but(CANARY), "ListOrganizations", {}),
            (auth.admin.but(made.secret), "GetAdminIdentity", {}),
            (auth.admin, "SetProviderKey", {**provider, "credential": f"{CANARY} \n"}),
            (auth.admin, "SetProviderKey", {"org_id": "x", "provider": "a", "credential": CANARY}),
            (auth.edge, "VerifyApiKey", {"key_hash": rotated.secret}),
            (once, "RevokeApiKey", {"user_id": "user_x", "key_id": "key_x"}),
        ]
        await kv.hset(f"org:{{{org.org_id}}}:provider-keys", "openai", '{"broken":')
        calls.append((auth.edge, "GetProviderCredential", provider))
        told = []
        for client, rpc, fields in calls:
            with pytest.raises(GatewayError) as refused:
                await getattr(client, rpc)(**fields)
            told.append(f"{refused.value} {refused.value.metadata}")
        for trail in (org.org_id, ""):
            told.append(str(await auth.admin.ListAuditEntries(org_id=trail)))
        told += [repr(await auth.everything()), process.log.read_text()]
        await kv.aclose()
    assert "handler_failed" in told[-1] and "Traceback" in told[-1]
    secrets = (CANARY, made.secret, rotated.secret, admin_key.secret, ADMIN, SERVICE, MASTER)
    assert [text for text in secrets for one in told if text in one] == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ADMIN_API_KEY": ""}, "ADMIN_API_KEY"),
        ({"ADMIN_API_KEY": "short"}, "ADMIN_API_KEY"),
        ({"ADMIN_API_KEY": "changeme" * 5}, "ADMIN_API_KEY"),
        ({"GATEWAY_SERVICE_TOKEN": ""}, "GATEWAY_SERVICE_TOKEN"),
        ({"GATEWAY_MASTER_KEY": "hunter2"}, "GATEWAY_MASTER_KEY"),
        ({"GATEWAY_AUTH_LISTEN": "0.0.0.0:0"}, "GATEWAY_TLS_CERT"),
        ({"GATEWAY_KV_TIMEOUT_MS": "soon"}, "GATEWAY_KV_TIMEOUT_MS"),
    ],
)
def test_it_refuses_to_start_with_one_line(
    tmp_path: Path, kv_url: str, wrong: dict[str, str], named: str
) -> None:
    given = {"GATEWAY_AUTH_LISTEN": "127.0.0.1:0", "GATEWAY_LOG_LEVEL": "error", **wrong}
    ended = subprocess.run(
        [sys.executable, "-m", "services.auth"],
        cwd=tmp_path,
        env=environment(kv_url, **given),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
    )
    told = ended.stdout
    assert ended.returncode == 2
    assert named in told
    assert len(told.strip().splitlines()) == 1
    assert "hunter2" not in told
