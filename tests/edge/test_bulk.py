"""Large bodies do not hold up whoever else is being served."""

import hashlib
import json
import threading
from typing import Any

import pytest

from services.edge import chat, embeddings, relay
from services.edge.bulk import LARGE
from tests.edge.wire import ask, bearer
from tests.edge.wire import chat as chat_with
from tests.edge.world import USD, Member, World


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Which thread did what at last."""
    seen: dict[str, str] = {}

    def watched(module: Any, name: str) -> None:
        real = getattr(module, name)

        def instead(*args: Any) -> Any:
            seen[name] = threading.current_thread().name.partition("_")[0]
            return real(*args)

        monkeypatch.setattr(module, name, instead)

    watched(chat, "parse")
    watched(chat, "change")
    watched(embeddings, "parse")
    watched(relay, "read_document")
    return seen


def test_a_large_request_is_read_and_changed_beside_the_loop(
    gateway: World, member: Member, threads: dict[str, str]
) -> None:
    assert chat_with(gateway.url, member).status == 200
    assert (threads["parse"], threads["change"]) == ("gateway", "gateway")
    text = [{"role": "user", "content": "\\u0000" + "x" * LARGE}]
    reply = chat_with(gateway.url, member, messages=text, model="simulator/free")
    assert reply.status == 200
    assert (threads["parse"], threads["change"]) == ("bulk", "bulk")


def test_a_large_answer_is_read_beside_the_loop(
    gateway: World, member: Member, threads: dict[str, str]
) -> None:
    for count, thread in ((1, "gateway"), (60, "bulk")):
        body = {
            "model": "simulator/echo",
            "input": ["a"] * count,
            "encoding_format": "float",
            "dimensions": 512,
        }
        reply = ask(
            gateway.url, "POST", "/v1/embeddings", json.dumps(body).encode(), bearer(member)
        )
        assert len(reply.json["data"]) == count
        assert (len(reply.body) >= LARGE) == (thread == "bulk")
        assert (threads["parse"], threads["read_document"]) == ("gateway", thread)


def test_what_is_wrong_with_a_large_request_is_told_all_the_same(
    gateway: World, member: Member
) -> None:
    reply = chat_with(gateway.url, member, b'{"model":"' + b"x" * LARGE)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert gateway.journal(member) == []


@pytest.mark.timeout(120)
def test_r14_a_body_of_20_mb_reaches_the_provider_byte_for_byte(gateway: World) -> None:
    """An image in its base64: the model's name is all that changes."""
    rich = gateway.member(budget=4_000_000 * USD, limit=4_000_000 * USD)
    image = {"url": "data:image/png;base64," + "iVBORw0KGgo" * 1_900_000}
    content = [{"type": "text", "text": "é"}, {"type": "image_url", "image_url": image}]
    body = {"model": "simulator/echo", "messages": [{"role": "user", "content": content}]}
    raw = json.dumps({**body, "max_tokens": 5}).encode()
    assert len(raw) > 20_000_000
    gateway.simulator.witness.clear()
    with gateway.another_edge(max_body_bytes=32 << 20) as url:
        assert chat_with(url, rich, raw).status == 200
    [record] = gateway.simulator.witness.records()
    sent = raw.replace(b'"simulator/echo"', b'"echo"')
    assert record["body_sha256"] == hashlib.sha256(sent).hexdigest()
