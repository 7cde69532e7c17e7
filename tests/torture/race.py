"""Ten thousand reserves at once over two quota processes: exactly as many as the budget affords."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from itertools import cycle

import grpc

from gateway.quota.v1 import quota_pb2 as pb
from gateway.quota.v1 import quota_pb2_grpc
from services.common.ids import new_reservation_id
from tests.system.exact import NANO_PER_TOKEN
from tests.system.fleet import SERVICE_TOKEN, Fleet

TOKENS = 50
USERS = 20
_KEEP_SECONDS = 5.0
_AT_A_TIME = 200
_AS_EDGE = (("authorization", f"Bearer {SERVICE_TOKEN}"),)


@dataclass
class Races:
    asked: int = 0
    affordable: int = 0
    admitted: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def exact(self) -> int:
        return sum(admitted == self.affordable for admitted in self.admitted)

    def lines(self) -> list[str]:
        return [
            f"race: {self.asked} reserves at once, affordable {self.affordable}: exactly that in "
            f"{self.exact} of {len(self.admitted)} rounds ({min(self.seconds):.1f} to "
            f"{max(self.seconds):.1f} s each)"
        ]


def race(made: Fleet, *, seed: int, rounds: int, reserves: int, affordable: int) -> Races:
    """Each round in an organisation of its own; key, user or organisation binds by turns."""
    found, chosen = Races(reserves, affordable), random.Random(seed)
    for number in range(rounds):
        found.admitted.append(_round(made, number, reserves, affordable, chosen, found))
    return found


def _round(
    made: Fleet,
    number: int,
    reserves: int,
    affordable: int,
    chosen: random.Random,
    found: Races,
) -> int:
    budget = f"{affordable * TOKENS * NANO_PER_TOKEN / 10**9:.9f}"
    binds = ("org", "user", "key")[number % 3]
    org = made.organization(budget if binds == "org" else "1000")
    limit = budget if binds == "user" else "1000"
    users = 1 if binds != "org" else USERS
    owners = []
    for n in range(users):
        user = made.user(org, f"racer{n}@example.com", limit)
        fields = {"monthly_limit_usd": budget} if binds == "key" else {}
        owners.append(pb.Owner(org_id=org, user_id=user, key_id=made.key(user, **fields)["key_id"]))
    items = [_item(chosen.choice(owners)) for _ in range(reserves)]
    began = time.perf_counter()
    admitted = asyncio.run(_reserve(made, items))
    found.seconds.append(time.perf_counter() - began)
    return admitted


def _item(owner: pb.Owner) -> pb.ReserveItem:
    rid = new_reservation_id()
    bound = pb.TokenUsage(input_tokens=10, output_tokens=TOKENS)
    return pb.ReserveItem(
        reservation_id=rid,
        fingerprint=rid,
        owner=owner,
        model="simulator/exact",
        operation="chat",
        bound=bound,
        min_output_tokens=TOKENS,
    )


async def _reserve(made: Fleet, items: list[pb.ReserveItem]) -> int:
    """All of them on their way at once, each by itself; a call that a busy machine answers too late
    is repeated under the same id, and what is held is kept, as edges do."""
    channels = [grpc.aio.insecure_channel(quota.address) for quota in made.quotas]
    stubs = cycle([quota_pb2_grpc.QuotaServiceStub(channel) for channel in channels])
    held: list[pb.ReserveItem] = []

    async def one(item: pb.ReserveItem) -> None:
        while True:
            item.caller_time_ms = time.time_ns() // 1_000_000
            request = pb.ReserveQuotaRequest(items=[item])
            try:
                answer = await next(stubs).ReserveQuota(request, timeout=30, metadata=_AS_EDGE)
            except grpc.aio.AioRpcError:
                continue
            if answer.results[0].HasField("grant"):
                held.append(item)
            if answer.results[0].refusal.reason != "CLOCK_SKEW":
                return

    keeping = asyncio.create_task(_keep(next(stubs), held))
    await asyncio.gather(*map(one, items))
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    for channel in channels:
        await channel.close()
    return len(held)


async def _keep(stub: "quota_pb2_grpc.QuotaServiceAsyncStub", held: list[pb.ReserveItem]) -> None:
    """A hold that nobody speaks of for half a minute makes room: rounds may be longer."""
    while True:
        await asyncio.sleep(_KEEP_SECONDS)
        for start in range(0, len(held), _AT_A_TIME):
            items = [
                pb.CheckpointItem(
                    reservation_id=item.reservation_id, owner=item.owner, model=item.model
                )
                for item in held[start : start + _AT_A_TIME]
            ]
            request = pb.CheckpointReservationsRequest(
                edge_id="race", items=items, caller_time_ms=time.time_ns() // 1_000_000
            )
            with contextlib.suppress(grpc.aio.AioRpcError):
                await stub.CheckpointReservations(request, timeout=10, metadata=_AS_EDGE)
