"""Moderations and images: passed on where the catalog prices them, refused before the provider is
asked where it does not."""

import json
from typing import Any

import httpx
import openai
import pytest

from tests.clients.raw_upstream import RawUpstream
from tests.edge.world import Member, World

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def document(**fields: Any) -> list[bytes]:
    body = json.dumps(fields).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return [head % len(body), body]


@pytest.mark.parametrize(
    "given", ["Hello", ["a", "b"], [{"type": "text", "text": "a"}, {"type": "image_url"}]]
)
def test_r26_a_moderation_is_passed_on_and_charged(
    gateway: World, member: Member, upstream: RawUpstream, given: Any
) -> None:
    result = {"flagged": False, "categories": {}, "category_scores": {}}
    upstream.answers["moderation"] = document(id="modr-1", model="m", results=[result])
    with gateway.client(member) as client:
        answer = client.moderations.create(model="raw/moderation", input=given)
    assert answer.results[0].flagged is False
    settled = gateway.settled(member)
    assert (settled.operation, list(settled.flags)) == ("moderations", ["estimated"])
    assert settled.usage.input_tokens > 0
    assert settled.usage.output_tokens == 0


def test_r26_images_are_charged_one_by_one(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    upstream.answers["image"] = document(created=1, data=[{"b64_json": "aGk="}] * 3)
    with gateway.client(member) as client:
        answer = client.images.generate(model="raw/image", prompt="A cat", n=3)
    assert len(answer.data or []) == 3
    assert gateway.settled(member).usage.extra_units == 3
    assert gateway.usage(member).spent_nano_usd == 120_000_000


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("kind", ["edit", "create_variation"])
def test_changed_images_are_charged_one_by_one(
    gateway: World, member: Member, upstream: RawUpstream, kind: str
) -> None:
    upstream.answers["image"] = document(created=1, data=[{"b64_json": "aGk="}] * 2)
    asked = {"model": "raw/image", "image": ("cat.png", PNG, "image/png"), "n": 2}
    with gateway.client(member) as client:
        more = {"prompt": "A hat on it"} if kind == "edit" else {}
        answer = getattr(client.images, kind)(**asked, **more)
    assert len(answer.data) == 2
    assert PNG in upstream.asked["image"]
    assert b'name="image"; filename="cat.png"\r\nContent-Type: image/png' in upstream.asked["image"]
    settled = gateway.settled(member)
    assert (settled.operation, settled.usage.extra_units) == ("images", 2)
    assert gateway.usage(member).spent_nano_usd == 80_000_000


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"n": "11"}, "n"),
        ({"n": "x"}, "n"),
        ({"stream": "1"}, "stream"),
    ],
)
def test_a_wrong_field_of_an_edit_is_named(
    gateway: World, member: Member, fields: dict[str, str], param: str
) -> None:
    told = httpx.post(
        f"{gateway.url}/v1/images/edits",
        data={"model": "raw/image", "prompt": "x", **fields},
        files={"image": ("cat.png", PNG)},
        headers={"authorization": f"Bearer {member.key}"},
    )
    assert (told.status_code, told.json()["error"]["param"]) == (400, param)


def test_images_that_do_not_fit_the_budget_are_not_made(
    gateway: World, upstream: RawUpstream
) -> None:
    member = gateway.member(limit=100_000_000)
    upstream.answers.pop("image", None)
    with gateway.client(member) as client, pytest.raises(openai.RateLimitError) as refused:
        client.images.generate(model="raw/image", prompt="A cat", n=3)
    assert refused.value.code == "insufficient_quota"


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.moderations.create(model="simulator/echo", input="x"),
        lambda c: c.images.generate(model="simulator/echo", prompt="x"),
        lambda c: c.chat.completions.create(model="raw/image", messages=[{"role": "user"}]),
    ],
)
def test_a_model_is_not_offered_for_what_the_catalog_does_not_price(
    gateway: World, member: Member, call: Any
) -> None:
    with gateway.client(member) as client, pytest.raises(openai.BadRequestError) as refused:
        call(client)
    assert (refused.value.code, refused.value.param) == ("model_not_priced", "model")
    assert "apis = [" in refused.value.message
    assert gateway.journal(member) == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/moderations", {"input": []}, "input"),
        ("/moderations", {"input": [1]}, "input"),
        ("/images/generations", {}, "prompt"),
        ("/images/generations", {"prompt": "x", "n": 11}, "n"),
        ("/images/generations", {"prompt": "x", "stream": True}, "stream"),
    ],
)
def test_a_wrong_field_is_named(
    gateway: World, member: Member, path: str, body: dict[str, Any], param: str
) -> None:
    with gateway.client(member) as client, pytest.raises(openai.BadRequestError) as refused:
        client.post(path, cast_to=object, body={"model": "raw/image", **body})
    assert refused.value.param == param
