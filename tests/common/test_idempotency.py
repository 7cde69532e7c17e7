"""A write with an idempotency key happens once, and what is stored tells nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.auth.v1 import admin_pb2
from services.common import idempotency, keys
from services.common.access import Caller, caller
from services.common.errors import (
    AlreadyExists,
    Conflict,
    InvalidField,
    NotFound,
    Unavailable,
)
from services.common.idempotency import Idempotency
from services.common.kv import Kv, open_kv

Request = admin_pb2.CreateAdminKeyRequest
Answer = admin_pb2.CreateAdminKeyResponse


class Writes:
    """Counts how often it was done."""

    def __init__(self, kv: Kv) -> None:
        self.kv = kv
        self.idempotency = Idempotency(kv)
        self.done = 0
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def work(self) -> Answer:
        self.done += 1
        number = self.done
        self.started.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Answer(secret=f"canary-{number}")

    async def ask(self, key: str = "k1", name: str = "Grace", actor: str = "admin") -> str:
        caller.set(Caller(actor, idempotency_key=key))
        request = Request(admin_key={"name": name})
        answer = await self.idempotency.once("Create", request, Answer, self.work)
        return answer.secret


@pytest.fixture
async def writes(kv_flush: str) -> AsyncIterator[Writes]:
    kv = open_kv(kv_flush, timeout_ms=1_000, connections=8)
    yield Writes(kv)
    await kv.aclose()


async def test_a_repeat_gets_the_first_answer(writes: Writes) -> None:
    assert [await writes.ask() for _ in range(3)] == ["canary-1"] * 3
    assert writes.done == 1


async def test_without_a_key_every_call_is_a_write(writes: Writes) -> None:
    assert [await writes.ask("") for _ in range(2)] == ["canary-1", "canary-2"]
    assert [key async for key in writes.kv.scan_iter(keys.idempotency("*"))] == []


async def test_another_request_with_the_same_key_is_a_conflict(writes: Writes) -> None:
    await writes.ask()
    with pytest.raises(Conflict) as refused:
        await writes.ask(name="Eve")
    assert refused.value.reason == "IDEMPOTENCY_CONFLICT"
    assert refused.value.retry_after_ms is None
    assert writes.done == 1


async def test_keys_of_different_callers_are_different(writes: Writes) -> None:
    assert await writes.ask(actor="admin") == "canary-1"
    assert await writes.ask(actor="Grace") == "canary-2"


async def test_a_repeat_while_the_first_runs_is_told_to_come_back(writes: Writes) -> None:
    writes.gate.clear()
    first = asyncio.create_task(writes.ask())
    await asyncio.wait_for(writes.started.wait(), 5)
    for _ in range(3):
        with pytest.raises(Conflict) as refused:
            await writes.ask()
        assert (refused.value.retry_after_ms or 0) > 0
    with pytest.raises(Conflict) as refused:
        await writes.ask(name="Eve")
    assert refused.value.retry_after_ms is None
    writes.gate.set()
    assert await first == await writes.ask() == "canary-1"


async def test_of_many_at_once_one_writes(writes: Writes) -> None:
    answers = await asyncio.gather(*(writes.ask() for _ in range(20)), return_exceptions=True)
    assert writes.done == 1
    assert "canary-1" in answers
    assert all(one == "canary-1" or isinstance(one, Conflict) for one in answers)


@pytest.mark.parametrize("failure", [InvalidField("a", "b"), NotFound("x"), AlreadyExists("x")])
async def test_after_a_refusal_the_key_is_free(writes: Writes, failure: Exception) -> None:
    writes.failure = failure
    with pytest.raises(type(failure)):
        await writes.ask()
    writes.failure = None
    assert await writes.ask(name="Other") == "canary-2"


async def test_after_an_unknown_outcome_a_repeat_waits(writes: Writes) -> None:
    writes.failure = Unavailable("the KV does not answer")
    with pytest.raises(Unavailable):
        await writes.ask()
    writes.failure = None
    with pytest.raises(Conflict) as refused:
        await writes.ask()
    assert refused.value.retry_after_ms is not None
    (name,) = await writes.kv.keys("*")
    assert 0 < await writes.kv.ttl(name) <= idempotency.RUNNING_SECONDS


async def test_a_caller_that_hangs_up_finds_its_answer_when_it_comes_back(writes: Writes) -> None:
    writes.gate.clear()
    first = asyncio.create_task(writes.ask())
    await asyncio.wait_for(writes.started.wait(), 5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(Conflict):
        await writes.ask()
    writes.gate.set()
    await asyncio.gather(*writes.idempotency._running)
    assert await writes.ask() == "canary-1"
    assert writes.done == 1


async def test_what_is_stored_holds_neither_key_nor_answer_and_lasts_a_day(
    writes: Writes,
) -> None:
    await writes.ask("the-canary-key")
    (name,) = await writes.kv.keys("*")
    text = repr((name, await writes.kv.get(name)))
    assert "canary" not in text and "Grace" not in text
    assert idempotency.KEPT_SECONDS - 60 < await writes.kv.ttl(name) <= 24 * 3600


@pytest.mark.parametrize("key", ["x" * 256, "a\x7fb"])
async def test_a_bad_key_is_named(writes: Writes, key: str) -> None:
    with pytest.raises(InvalidField) as refused:
        await writes.ask(key)
    assert refused.value.field == "idempotency-key"
    assert writes.done == 0
