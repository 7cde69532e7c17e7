"""A KV that comes back without its last moments, as after a failover: the edge's outbox knows."""

import shutil
import time
from decimal import Decimal
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.system.accounts import booked, open_holds
from tests.system.exact import CATALOG, NANO_PER_TOKEN, body
from tests.system.fleet import Fleet, fleet
from tests.system.store import store
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]
TOKENS, REQUESTS = 50, 12
TOTAL = Decimal(TOKENS * NANO_PER_TOKEN * REQUESTS) / 10**9


def ask(made: Fleet, key: str) -> httpx.Response:
    return made.client.post(
        f"{made.urls[0]}/v1/chat/completions",
        json=body(TOKENS),
        headers={"authorization": f"Bearer {key}"},
    )


def spent(made: Fleet, org: str) -> Decimal:
    return Decimal(made.look(f"/organizations/{org}/usage")["spent_usd"])


def settled(made: Fleet, org: str, url: str) -> bool:
    return spent(made, org) == TOTAL and open_holds(url, org) == 0


def test_what_the_kv_forgot_is_booked_again_and_nothing_is_booked_twice(tmp_path: Path) -> None:
    catalog = tmp_path / "models.toml"
    catalog.write_text(CATALOG)
    settings = {"GATEWAY_CATALOG": str(catalog), "GATEWAY_CHECKPOINT_SECONDS": "1"}
    with store(tmp_path) as kv, fleet(kv_url=kv.url, settings=settings) as made:
        org = made.organization()
        key = made.key(made.user(org, "kept@example.com"))["api_key"]
        for _ in range(REQUESTS // 2):
            wait_until(lambda: ask(made, key).status_code == 200)
        wait_until(lambda: spent(made, org) == TOTAL / 2)
        time.sleep(1.5)  # the heartbeat has told the epoch; the file is synced every second
        remembered = tmp_path / "remembered"
        shutil.copytree(tmp_path / "kv", remembered, ignore=shutil.ignore_patterns("*.sock"))
        for _ in range(REQUESTS // 2):
            wait_until(lambda: ask(made, key).status_code == 200)
        wait_until(lambda: settled(made, org, kv.url))

        kv.kill()
        shutil.rmtree(tmp_path / "kv")
        shutil.copytree(remembered, tmp_path / "kv")
        kv.start()

        wait_until(lambda: settled(made, org, kv.url), 60)
        accounts = booked(kv.url, org)
        assert [a.requests for a in accounts.values()] == [1] * REQUESTS
        assert made.look(f"/organizations/{org}/verify")["ok"] is True
