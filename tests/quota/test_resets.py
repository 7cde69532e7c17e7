"""A reset is told to the audit trail in the step that makes it: all of it, or nothing."""

import asyncio
from typing import Any

import grpc
import orjson
import pytest

from gateway.quota.v1 import admin_pb2 as pb
from services.common import chain, keys
from services.common.script import Script
from services.common.trail import Author, Trail
from services.quota import scripts
from services.quota.door import Door
from services.quota.months import month_of
from services.quota.resets import Resets
from services.quota.verify import Auditor
from tests.quota.rpc import AS_ADMIN, Rpc
from tests.quota.world import World, now_ms, reserve, settle

MONTH = month_of(now_ms())


async def test_a_reset_forgives_what_the_trail_tells_and_nothing_later(ledger: World) -> None:
    owner = await ledger.owner()
    door, lua = Door(ledger.kv, timeout=5), scripts.load()
    first, later = reserve(owner, 100), reserve(owner, 30)
    await ledger.store.reserve([first, later])
    await ledger.store.settle([settle(first, 100)])

    class Between(Door):
        """A request ends between the look and the reset."""

        async def run(self, script: Script, names: list[str], args: Any) -> Any:
            answer = await super().run(script, names, args)
            await ledger.store.settle([settle(later, 30)])
            return answer

    trail = Trail(ledger.kv, now_ms)
    resets = Resets(Between(ledger.kv, timeout=5), lua, trail)
    month = await resets.reset(owner.org, owner.user, "agreed", Author("ann", "req_7"))
    [counters] = await ledger.books.counters([keys.user_quota(owner.org, owner.user)], month)
    assert (counters.spent, counters.reset) == (130, 100)
    [(_, row)] = await ledger.kv.xrange(keys.audit(owner.org))
    told = orjson.loads(row["entry"])
    assert (told["actor"], told["action"], told["request_id"]) == (
        "ann",
        "user.reset_quota",
        "req_7",
    )
    assert told["before"] == {"spent_nano_usd": "100"}
    assert told["after"] == {"month": month, "spent_nano_usd": "0", "reason": "agreed"}
    assert (await Auditor(door, ledger.books, lua).verify(owner.org)).differences == []


async def test_many_resets_at_once_are_one_chain(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    request = pb.ResetUserQuotaRequest(user_id=owner.user, reason="again")
    await asyncio.gather(*(rpc.admin.ResetUserQuota(request, metadata=AS_ADMIN) for _ in range(8)))
    verifier = chain.Verifier()
    for place, row in await ledger.kv.xrange(keys.audit(owner.org)):
        verifier.feed(place, row["entry"], row["hash"])
    head = await ledger.kv.get(keys.audit_head(owner.org))
    assert (verifier.entries, verifier.finish(chain.Head.parse(head))) == (8, [])
    assert len([e for e in await ledger.journal(owner.org) if e["k"] == "reset"]) == 8


async def test_a_trail_that_was_written_by_hand_stops_the_reset_before_it_changes_anything(
    ledger: World, rpc: Rpc
) -> None:
    owner = await ledger.owner()
    spent = reserve(owner, 100)
    await ledger.store.reserve([spent])
    await ledger.store.settle([settle(spent, 100)])
    await ledger.kv.xadd(keys.audit(owner.org), {"entry": "x"}, id="99999999999999-0")
    request = pb.ResetUserQuotaRequest(user_id=owner.user, reason="again")
    with pytest.raises(grpc.aio.AioRpcError):
        await rpc.admin.ResetUserQuota(request, metadata=AS_ADMIN)
    assert [e["k"] for e in await ledger.journal(owner.org)] == ["reserve", "settle"]
    [counters] = await ledger.books.counters([keys.user_quota(owner.org, owner.user)], MONTH)
    assert counters.reset == 0
