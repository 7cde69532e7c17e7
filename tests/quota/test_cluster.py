"""On a cluster every step of the ledger stays in the slot of its organisation."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.quota.v1 import admin_pb2 as pb
from services.launch.kv import find_server
from services.quota.items import Granted
from services.quota.months import month_of
from tests.quota.rpc import AS_ADMIN, reserve_item, serving, settle_item
from tests.quota.world import World, now_ms, reserve, settle, world
from tests.system.kv_cluster import free_ports


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    """A cluster of one node: it has every slot, and still refuses keys of two in one call."""
    [port] = free_ports(1)
    options = {"bind": "127.0.0.1", "port": port, "cluster-enabled": "yes", "dir": tmp_path,
               "loglevel": "warning"}  # fmt: skip
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([find_server().path, *words], stdout=subprocess.DEVNULL)
    try:
        client: Any = redis.Redis(
            port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
        )
        with client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                pass
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
async def cluster(cluster_url: str) -> AsyncIterator[World]:
    async with world(cluster_url, cluster=True) as made:
        yield made


async def test_the_whole_life_of_requests_of_many_organisations(cluster: World) -> None:
    owners = [await cluster.owner(failure_mode="fail-open", fallback_daily="90") for _ in range(9)]
    asks = [reserve(owners[n % 9], 1_000 + n) for n in range(90)]
    assert all(isinstance(a, Granted) for a in await cluster.store.reserve(asks))
    settled = await cluster.store.settle([settle(ask, 500) for ask in asks[:45]])
    assert {s.code for s in settled} == {"OK"}
    async with serving(cluster) as rpc:
        item = reserve_item(owners[0])
        [result] = await rpc.reserve(item)
        for _ in range(2):
            answer = await rpc.checkpoint(edge_id="e", share_org_ids=[o.org for o in owners])
        assert [share.share_nano_usd for share in answer.shares[:9]] == [90] * 9
        assert await rpc.sweeper.sweep() == 0
        await rpc.settle(settle_item(item, result.grant, 1, 1))
        for owner in owners:
            verdict = await rpc.admin.VerifyLedger(
                pb.VerifyLedgerRequest(org_id=owner.org), metadata=AS_ADMIN
            )
            assert list(verdict.differences) == []
        total = await rpc.admin.GetMetrics(pb.GetMetricsRequest(), metadata=AS_ADMIN)
        assert (total.request_count, total.spent_nano_usd) == (46, 45 * 500 + 3_000)
        top = await rpc.admin.ListTopUsers(pb.ListTopUsersRequest(), metadata=AS_ADMIN)
        assert len(top.users) == 9
        records = await rpc.admin.ListUsageRecords(
            pb.ListUsageRecordsRequest(org_id=owners[1].org), metadata=AS_ADMIN
        )
        assert [r.spent_nano_usd for r in records.records] == [2_500]
        usage = await rpc.admin.ResetUserQuota(
            pb.ResetUserQuotaRequest(user_id=owners[1].user, reason="x"), metadata=AS_ADMIN
        )
        assert (usage.month, usage.spent_nano_usd) == (month_of(now_ms()), 0)
        journal = await rpc.admin.ListJournal(
            pb.ListJournalRequest(org_id=owners[1].org), metadata=AS_ADMIN
        )
        assert journal.entries[-1].kind == "reset"
