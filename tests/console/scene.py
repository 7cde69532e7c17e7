"""A small company at the end of its week: what the console has to show. Booked by the ledger
itself, as edges book what they let through while it was away, so the books agree."""

import time
from dataclasses import dataclass
from typing import Any

import grpc

from gateway.quota.v1 import quota_pb2 as pb
from gateway.quota.v1 import quota_pb2_grpc
from services.common.ids import new_reservation_id
from tests.edge.world import SERVICE_TOKEN, World
from tests.edge_admin.rest import Rest

_DAY_MS = 86_400_000
_PEOPLE = (
    ("ada@demo.example", "Ada Lovelace", "400"),
    ("grace@demo.example", "Grace Hopper", "60"),
    ("alan@demo.example", "Alan Turing", "25.50"),
)
_MODELS = ("openai/gpt-5.1", "openai/gpt-5-mini", "anthropic/claude-sonnet-4-5")


@dataclass
class Scene:
    org_id: str
    user_ids: list[str]
    keys: list[dict[str, Any]]

    @property
    def api_key(self) -> str:
        """A key of the first user."""
        return str(self.keys[0]["api_key"])


def build(gateway: World, rest: Rest) -> Scene:
    fields = {"name": "Demo Corporation", "monthly_budget_usd": "1500"}
    org = str(rest.good("POST", "/organizations", fields)["org_id"])
    other = {"name": "Test Organization", "monthly_budget_usd": "50", "failure_mode": "fail-open"}
    rest.good("POST", "/organizations", {**other, "fallback_daily_limit_usd": "5"})
    users, keys = [], []
    for email, name, limit in _PEOPLE:
        body = {"email": email, "name": name, "org_id": org, "monthly_limit_usd": limit}
        user = str(rest.good("POST", "/users", body)["user_id"])
        users.append(user)
        for key in ("laptop", "nightly-report") if name.startswith("Ada") else ("laptop",):
            keys.append(rest.good("POST", f"/users/{user}/api-keys", {"name": key}))
    path = f"/organizations/{org}/provider-keys/openai"
    rest.good("PUT", path, {"credential": "sk-demo-0123456789abcdef"})
    rest.good("PATCH", f"/users/{users[2]}", {"status": "suspended"})
    gateway.do(_book(gateway, [_item(org, key, n) for key in keys for n in range(14)]))
    rest.chat(str(keys[0]["api_key"]))
    return Scene(org, users, keys)


def _item(org: str, key: dict[str, Any], number: int) -> pb.SettleItem:
    admitted = int(time.time() * 1000) - (number % 7) * (_DAY_MS - 60_000)
    weight = 1 + (number * 7 + len(key["name"])) % 5
    return pb.SettleItem(
        reservation_id=new_reservation_id(),
        fingerprint="scene",
        owner=pb.Owner(org_id=org, user_id=key["user_id"], key_id=key["key_id"]),
        model=_MODELS[(number + len(key["name"])) % len(_MODELS)],
        operation="chat",
        outcome=pb.SETTLE_OUTCOME_CHARGED,
        usage=pb.TokenUsage(input_tokens=410_000 * weight, output_tokens=93_000 * weight),
        month=time.strftime("%Y-%m", time.gmtime(admitted / 1000)),
        admit_time_ms=admitted,
        grace=True,
        edge_id="edge_scene",
    )


async def _book(gateway: World, items: list[pb.SettleItem]) -> None:
    metadata = (("authorization", f"Bearer {SERVICE_TOKEN}"),)
    request = pb.SettleReservationsRequest(items=items, caller_time_ms=int(time.time() * 1000))
    async with grpc.aio.insecure_channel(gateway.addresses["quota"]) as channel:
        stub = quota_pb2_grpc.QuotaServiceStub(channel)
        answer = await stub.SettleReservations(request, timeout=5, metadata=metadata)
    assert not [one for one in answer.results if one.HasField("refusal")], answer
