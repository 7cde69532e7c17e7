"""The official client takes the simulator for OpenAI: embeddings, completions, models."""

import base64
import math
import struct
from typing import Any

import openai
import pytest

from tests.simulator.wire import Wire


@pytest.mark.parametrize(
    ("given", "count", "prompt_tokens"),
    [("Hello", 1, 2), (["Hello", "world"], 2, 3), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3)],
)
def test_every_kind_of_input_is_embedded(
    client: openai.OpenAI, given: Any, count: int, prompt_tokens: int
) -> None:
    answer = client.embeddings.create(model="lorem", input=given)
    assert [item.index for item in answer.data] == list(range(count))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == prompt_tokens


def test_base64_and_floats_are_the_same_unit_vector(wire: Wire) -> None:
    body = {"model": "lorem", "input": "Hello", "dimensions": 8}
    floats = wire.post("/v1/embeddings", body).json["data"][0]["embedding"]
    packed = wire.post("/v1/embeddings", body | {"encoding_format": "base64"}).json
    unpacked = struct.unpack("<8f", base64.b64decode(packed["data"][0]["embedding"]))
    assert unpacked == pytest.approx(floats)
    assert math.hypot(*floats) == pytest.approx(1)
    other = wire.post("/v1/embeddings", body | {"input": "World"}).json["data"][0]["embedding"]
    assert other != floats


@pytest.mark.parametrize("given", ["", [], None, [[]], [1, "x"], {"a": 1}])
def test_an_empty_or_odd_input_is_refused(client: openai.OpenAI, given: Any) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(model="lorem", input=given)
    assert raised.value.param == "input"


def test_legacy_completions_stop_after_16_tokens(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="lorem", prompt="Once upon a time")
    assert answer.object == "text_completion" and answer.id.startswith("cmpl-")
    assert answer.usage and answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"


def test_legacy_completions_stream_and_answer_every_prompt(client: openai.OpenAI) -> None:
    prompts = ["one", "two"]
    whole = client.completions.create(model="lorem", prompt=prompts, max_tokens=9)
    stream = client.completions.create(
        model="lorem",
        prompt=prompts,
        max_tokens=9,
        stream=True,
        stream_options={"include_usage": True},
    )
    texts = ["", ""]
    chunks = list(stream)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage


def test_models_are_listed_and_found_with_a_slash(client: openai.OpenAI, wire: Wire) -> None:
    assert [model.id for model in client.models.list()] == ["simulator/echo", "simulator/lorem"]
    assert client.models.retrieve("simulator/echo").id == "simulator/echo"
    assert wire.http.get("/v1/models/simulator/echo").json()["object"] == "model"
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("gpt-99")
    assert raised.value.code == "model_not_found"


def test_an_unknown_address_and_method_are_refused_as_openai_does(wire: Wire) -> None:
    unknown = wire.http.post("/v1/images/generations", json={})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "Invalid URL (POST /v1/images/generations)"
    wrong = wire.http.get("/v1/embeddings")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert wrong.json()["error"]["code"] == "method_not_supported"


def test_it_says_that_it_is_well(wire: Wire) -> None:
    assert wire.http.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe{}"])
def test_a_body_that_is_no_json_object_is_refused(wire: Wire, body: bytes) -> None:
    heard = wire.post("/v1/chat/completions", body)
    assert heard.status == 400
    assert heard.json["error"]["type"] == "invalid_request_error"
