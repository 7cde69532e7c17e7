"""Endpoints that are not offered: who has a key is told why, and no provider is asked."""

from typing import Any

import openai
import pytest

from services.edge.elsewhere import REASONS
from tests.edge.wire import ask, bearer
from tests.edge.world import Member, World


@pytest.fixture(scope="module")
def member(gateway: World) -> Member:
    return gateway.member()


STORED: list[Any] = [
    lambda c: c.responses.retrieve("resp_1"),
    lambda c: c.responses.delete("resp_1"),
    lambda c: c.responses.cancel("resp_1"),
    lambda c: c.responses.input_items.list("resp_1"),
    lambda c: c.chat.completions.retrieve("chatcmpl-1"),
    lambda c: c.chat.completions.messages.list("chatcmpl-1"),
    lambda c: c.conversations.create(),
    lambda c: c.files.list(),
    lambda c: c.files.create(file=b"{}", purpose="batch"),
    lambda c: c.files.content("file-1"),
    lambda c: c.uploads.create(bytes=1, filename="x", mime_type="text/plain", purpose="batch"),
    lambda c: c.batches.list(),
    lambda c: c.batches.retrieve("batch_1"),
    lambda c: c.vector_stores.list(),
    lambda c: c.vector_stores.files.list("vs_1"),
    lambda c: c.beta.assistants.list(),
    lambda c: c.beta.threads.create(),
    lambda c: c.fine_tuning.jobs.list(),
    lambda c: c.containers.list(),
    lambda c: c.evals.list(),
]


@pytest.mark.parametrize("call", STORED)
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a11_what_lies_at_the_provider_by_id_is_not_reachable(
    gateway: World, member: Member, call: Any
) -> None:
    before = len(gateway.simulator.witness.records())
    with gateway.client(member) as client, pytest.raises(openai.NotFoundError) as refused:
        call(client)
    assert refused.value.code == "unsupported_endpoint"
    assert "credential that all users of this gateway share" in refused.value.message
    assert len(gateway.simulator.witness.records()) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.post("/videos", cast_to=object, body={"model": "sora-2", "prompt": "x"}),
        lambda c: c.post("/realtime/client_secrets", cast_to=object, body={}),
        lambda c: c.post("/audio/voices", cast_to=object, body={}),
    ],
)
def test_what_has_no_bound_is_refused_before_the_provider_is_asked(
    gateway: World, member: Member, call: Any
) -> None:
    before = len(gateway.simulator.witness.records())
    with gateway.client(member) as client, pytest.raises(openai.NotFoundError) as refused:
        call(client)
    assert refused.value.code == "unsupported_endpoint"
    assert "cannot be held against a budget" in refused.value.message
    assert len(gateway.simulator.witness.records()) == before


def test_a1_without_a_key_nothing_is_told_of_them(gateway: World, member: Member) -> None:
    for path in REASONS:
        url = "/v1" + path.replace("{rest:path}", "a/b")
        assert ask(gateway.url, "GET", url).status == 401, url
        assert ask(gateway.url, "DELETE", url, headers=bearer(member)).status == 404, url
