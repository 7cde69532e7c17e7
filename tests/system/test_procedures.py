"""What docs/operations.md tells an operator to do, done."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.system.accounts import open_holds
from tests.system.exact import CATALOG, body
from tests.system.fleet import ADMIN_KEY, MASTER_KEY, PATIENT, SERVICE_TOKEN, Fleet, fleet
from tests.system.process import Process
from tests.system.rolling import restart, running, two_of_each
from tests.system.store import store
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

NEW_ADMIN_KEY, NEW_TOKEN, NEW_MASTER_KEY = ("91" * 32, "82" * 32, "73" * 32)
STREAMS = 8


def ask(made: Fleet, key: str, tokens: int = 20) -> int:
    answer = made.client.post(
        f"{made.urls[0]}/v1/chat/completions",
        json=body(tokens),
        headers={"authorization": f"Bearer {key}"},
    )
    return answer.status_code


def test_a_backup_made_while_it_runs_is_restored_and_the_books_agree(tmp_path: Path) -> None:
    catalog = tmp_path / "models.toml"
    catalog.write_text(CATALOG)
    data, copy = tmp_path / "kv", tmp_path / "backup.tar"
    with store(tmp_path) as kv:
        with fleet(kv_url=kv.url, settings={"GATEWAY_CATALOG": str(catalog)}) as made:
            org = made.organization()
            key = made.key(made.user(org, "kept@example.com"))["api_key"]
            for _ in range(10):
                assert ask(made, key) == 200
            wait_until(lambda: open_holds(kv.url, org) == 0)
            saved = made.look(f"/organizations/{org}/usage")
            # The file is what the KV has written: it is synced every second.
            copied = subprocess.run(
                ["tar", "-C", data, "-cf", copy, "appendonlydir"], check=False, timeout=30
            )
            assert copied.returncode in (0, 1), "1: a file grew while it was read"
            for _ in range(5):
                assert ask(made, key) == 200
        kv.stop()
        shutil.rmtree(data)
        data.mkdir()
        subprocess.run(["tar", "-C", data, "-xf", copy], check=True, timeout=30)
        kv.start()
        with fleet(kv_url=kv.url, settings={"GATEWAY_CATALOG": str(catalog)}) as made:
            restored = made.look(f"/organizations/{org}/usage")
            assert restored["spent_usd"] == saved["spent_usd"]
            assert restored["request_count"] == 10
            assert made.look(f"/organizations/{org}/verify")["ok"] is True
            assert ask(made, key) == 200, "a key of before works"


async def test_every_secret_is_rotated_and_no_request_fails(tmp_path: Path) -> None:
    with two_of_each(tmp_path, PATIENT) as made:
        org, held_back = made.organization(), made.organization()
        key = made.key(made.user(org, "rotate@example.com"))["api_key"]
        sealed = made.key(made.user(held_back, "sealed@example.com"))["api_key"]
        secret = {"credential": "sk-" + "x" * 40}
        made.admin("PUT", f"/organizations/{held_back}/provider-keys/simulator", secret)
        behind = [*made.auths, *made.quotas]
        async with running(key, made.urls, STREAMS) as streams:
            await told(
                behind,
                ADMIN_API_KEY=f"{NEW_ADMIN_KEY},{ADMIN_KEY}",
                GATEWAY_SERVICE_TOKEN=f"{NEW_TOKEN},{SERVICE_TOKEN}",
                GATEWAY_MASTER_KEY=f"{NEW_MASTER_KEY},{MASTER_KEY}",
            )
            assert await admits(made, ADMIN_KEY) and await admits(made, NEW_ADMIN_KEY)
            rewrapped = await asyncio.to_thread(made.admin, "POST", "/provider-keys/rewrap")
            assert rewrapped, "the organisation's key is sealed anew"
            await told(made.edges, GATEWAY_SERVICE_TOKEN=NEW_TOKEN)
            await told(
                behind,
                ADMIN_API_KEY=NEW_ADMIN_KEY,
                GATEWAY_SERVICE_TOKEN=NEW_TOKEN,
                GATEWAY_MASTER_KEY=NEW_MASTER_KEY,
            )
            assert await admits(made, NEW_ADMIN_KEY) and not await admits(made, ADMIN_KEY)
            assert await asyncio.to_thread(ask, made, sealed) == 200
        assert set(streams.outcomes) == {"whole"}, streams.outcomes


async def told(processes: list[Process], **secrets: str) -> None:
    """Each is restarted with these, one after the other."""
    for process in processes:
        process.environment.update(secrets)
        await restart(process)


async def admits(made: Fleet, admin_key: str) -> bool:
    headers = {"authorization": f"Bearer {admin_key}"}
    async with httpx.AsyncClient(timeout=30, headers=headers) as client:
        answer = await client.get(f"{made.urls[0]}/admin/organizations")
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200
