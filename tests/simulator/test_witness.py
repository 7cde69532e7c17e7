"""The witness tells what came in and what went out, and no secret."""

import asyncio
import hashlib
from pathlib import Path

import httpx
import orjson
import pytest

from services.simulator.server import Simulator, serving
from services.simulator.settings import SimulatorSettings
from services.simulator.witness import fingerprint
from tests.simulator.wire import Wire


def test_a_stream_is_recorded_as_it_was_delivered(wire: Wire) -> None:
    heard = wire.chat(
        "[[sim tokens=20 chunks=5]]",
        {"x-request-id": "req_abc"},
        stream_options={"include_usage": True},
    )
    (record,) = wire.records("req_abc")
    assert record["outcome"] == "complete" and record["hung_up"] is False
    assert (record["status"], record["model"], record["stream"]) == (200, "simulator/lorem", True)
    assert (record["chunks"], record["completion_tokens"]) == (5, 20)
    assert record["bytes"] == len(heard.body)
    assert record["usage"] == heard.chunks[-1]["usage"]
    assert wire.records("req_other") == []


def test_a_cut_stream_is_recorded_up_to_the_cut(wire: Wire) -> None:
    wire.chat("[[sim tokens=20 chunks=5 cut_after=3]]")
    (record,) = wire.records()
    assert (record["outcome"], record["chunks"], record["completion_tokens"]) == ("cut", 3, 12)
    assert record["usage"] is None


def test_a_caller_who_hangs_up_is_charged_what_was_delivered(wire: Wire) -> None:
    heard = wire.hang_up("[[sim tokens=400 chunks=100 drip=20]]", after=3)
    (record,) = wire.records()
    assert record["hung_up"] is True
    assert 4 * len(heard.deltas) <= record["completion_tokens"] < 400
    assert record["completion_tokens"] == 4 * record["chunks"]


@pytest.mark.parametrize("path", ["chat/completions", "responses", "completions"])
def test_a_document_and_its_usage_are_recorded(wire: Wire, path: str) -> None:
    text = "[[sim tokens=12]]"
    body = {
        "model": "lorem",
        "messages": [{"role": "user", "content": text}],
        "input": text,
        "prompt": text,
    }
    wire.post(f"/v1/{path}", body)
    (record,) = wire.records()
    assert record["completion_tokens"] == 12
    usage = record["usage"]
    assert usage.get("completion_tokens", usage.get("output_tokens")) == 12


def test_headers_and_body_are_kept_but_no_credential(wire: Wire) -> None:
    headers = {
        "authorization": "Bearer sk-very-secret",
        "cf-aig-authorization": "Bearer cf-secret",
        "cookie": "session=secret",
        "openai-organization": "org-mine",
    }
    heard = wire.chat("Hello", headers)
    (record,) = wire.records()
    assert heard.status == 200
    assert record["headers"]["authorization"] == f"Bearer sha256:{fingerprint('sk-very-secret')}"
    assert record["headers"]["openai-organization"] == "org-mine"
    assert "secret" not in str(record)
    assert record["body_sha256"] == hashlib.sha256(record["body"].encode()).hexdigest()
    assert orjson.loads(record["body"])["messages"][0]["content"] == "Hello"


def test_the_request_id_may_come_in_cloudflares_metadata(wire: Wire) -> None:
    wire.chat("Hello", {"cf-aig-metadata": '{"request_id": "req_meta", "user": "u"}'})
    assert len(wire.records("req_meta")) == 1
    wire.chat("Hello", {"cf-aig-metadata": "{broken"})
    assert wire.records()[-1]["request_id"] is None


def test_refusals_are_recorded(wire: Wire) -> None:
    wire.chat("[[sim status=429]]")
    wire.post("/v1/chat/completions", b"{")
    assert [record["status"] for record in wire.records()] == [429, 400]


def test_sums_and_the_log_can_be_read_and_cleared(wire: Wire) -> None:
    wire.chat("[[sim tokens=20]]")
    wire.chat("[[sim status=500]]")
    wire.records()
    stats = wire.http.get("/_sim/stats").json()
    assert stats["requests"] == 2
    assert stats["statuses"] == {"200": 1, "500": 1}
    assert stats["completion_tokens"] == 20
    assert (stats["running"], stats["most_running"]) == (0, 1)
    assert wire.http.delete("/_sim/log").status_code == 204
    assert wire.records() == []
    assert wire.http.get("/_sim/stats").json()["requests"] == 0


async def test_the_log_on_disk_has_a_line_for_each_beginning_and_end(tmp_path: Path) -> None:
    log = tmp_path / "witness.jsonl"
    async with serving(SimulatorSettings.immediate(log=log)) as simulator:
        await _ask(simulator)
    async with serving(SimulatorSettings.immediate(log=log)) as simulator:
        await _ask(simulator)
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "end"] * 2
    assert (lines[0]["outcome"], lines[1]["outcome"]) == ("running", "complete")


async def test_a_stopped_simulator_says_which_answers_it_abandoned(tmp_path: Path) -> None:
    log = tmp_path / "witness.jsonl"
    async with serving(SimulatorSettings.immediate(log=log)) as simulator:
        asking = asyncio.create_task(_ask(simulator, "[[sim hang]]"))
        async with asyncio.timeout(5):
            await _begun(simulator)
    await asyncio.gather(asking, return_exceptions=True)
    assert orjson.loads(log.read_bytes().splitlines()[-1])["outcome"] == "cancelled"


async def test_bodies_are_not_kept_unless_asked_for() -> None:
    settings = SimulatorSettings.immediate().model_copy(update={"keep_bodies": False})
    async with serving(settings) as simulator:
        await _ask(simulator)
        (record,) = simulator.witness.records()
    assert record["body"] is None and record["body_bytes"] > 0


async def _begun(simulator: Simulator) -> None:
    while True:
        if simulator.witness.records():
            return
        await asyncio.sleep(0.01)


async def _ask(simulator: Simulator, message: str = "Hello") -> None:
    body = {"model": "lorem", "messages": [{"role": "user", "content": message}]}
    async with httpx.AsyncClient(timeout=10) as http:
        await http.post(f"{simulator.url}/v1/chat/completions", json=body)
