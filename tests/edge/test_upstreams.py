"""Where requests go: addresses behind Cloudflare, upstreams that cannot be reached, quirks."""

from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from services.common.settings import SettingsError
from services.edge.catalog import Provider, load_catalog, placed
from services.edge.catalog_file import read_catalog
from services.edge.dispatch import LEAST_PATIENCE, Dispatch, _patience
from services.edge.faults import UpstreamFailed
from services.edge.principal import Principal
from services.edge.reach import FAILURES, PAUSE_SECONDS, Reach
from services.edge.upstream import Upstream
from services.quota import catalog as prices
from tests.edge.test_catalog import CLOUDFLARE, shipped, written
from tests.edge.wire import chat, sim
from tests.edge.world import World

GATEWAY = "https://gateway.ai.cloudflare.com/v1/acc/gw"


@pytest.mark.parametrize(
    ("name", "path", "base", "model"),
    [
        ("openai/gpt-5", "/chat/completions", "/compat", "openai/gpt-5"),
        ("openai/gpt-5", "/responses", "/openai", "gpt-5"),
        ("openai/text-embedding-3-small", "/embeddings", "/openai", "text-embedding-3-small"),
        ("mistral/mistral-embed", "/embeddings", "/mistral/v1", "mistral-embed"),
        ("workers-ai/@cf/baai/bge-m3", "/embeddings", "/workers-ai/v1", "@cf/baai/bge-m3"),
        ("dynamic/support", "/chat/completions", "/compat", "dynamic/support"),
    ],
)
def test_what_cloudflares_common_address_does_not_know_goes_to_the_providers_own(
    name: str, path: str, base: str, model: str
) -> None:
    target = placed(shipped(**CLOUDFLARE).find(name), path)
    assert target.provider.base_url == f"{GATEWAY}{base}"
    assert (target.upstream_model, target.model) == (model, name)


def test_responses_through_cloudflare_are_answered_and_charged(gateway: World) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    with gateway.client(member) as client:
        answer = client.responses.create(model="compat/echo", input="Hello there")
    assert answer.output_text == "Hello there"
    [record] = gateway.simulator.witness.records()
    assert "cf-aig-authorization" in record["headers"]
    assert gateway.settled(member).model == "compat/echo"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_upstream_out_of_reach_is_tried_from_time_to_time_by_one_request() -> None:
    clock = Clock()
    reach = Reach(clock)
    for _ in range(FAILURES):
        reach.check("a")
        reach.failed("a")
    with pytest.raises(UpstreamFailed) as refused:
        reach.check("a")
    assert (refused.value.again, refused.value.billed) == (True, False)
    reach.check("b")
    clock.now += PAUSE_SECONDS
    reach.check("a")
    with pytest.raises(UpstreamFailed):
        reach.check("a")
    reach.reached("a")
    reach.check("a")
    reach.failed("a")
    reach.check("a")


def test_nobody_waits_for_an_upstream_that_cannot_be_reached(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    send = Upstream.send

    async def counted(self: Upstream, provider: Any, *args: Any) -> Any:
        tried.append(provider.name)
        return await send(self, provider, *args)

    monkeypatch.setattr(Upstream, "send", counted)
    monkeypatch.setattr("services.edge.reach.PAUSE_SECONDS", 60.0)
    member = gateway.member()
    replies = [chat(gateway.url, member, model="dead/echo") for _ in range(4)]
    assert {(r.status, r.error["code"]) for r in replies} == {(502, "upstream_error")}
    before = len(tried)
    assert before <= FAILURES + 1
    assert chat(gateway.url, member, model="dead/saved").headers["x-gateway-model"] == (
        "simulator/echo"
    )
    assert tried[before:] == ["simulator"]
    released = [e for e in gateway.journal(member) if e.kind == "release"]
    assert len(released) == 4


QUIRKS = """
[providers.own]
base_url = "http://127.0.0.1:1/v1"
private = true
output_cap = "{cap}"
"""


def test_a_quirk_is_configured_and_both_readers_take_the_file(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(QUIRKS.format(cap="max_completion_tokens"))
    assert read_catalog(path).providers["own"].output_cap == "max_completion_tokens"
    prices.load(str(path))
    path.write_text(QUIRKS.format(cap="max"))
    with pytest.raises(SettingsError, match="output_cap must be one of"):
        read_catalog(path)


INSIDE = [
    *("localhost", "x.localhost", "metadata.google.internal", "printer.local", "localhost."),
    *("127.0.0.1.nip.io", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1"),
    *("127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[::1]", "[fe80::1]"),
    *("[::ffff:127.0.0.1]", "[fd00:ec2::254]", "user@example.com", "example.com/v1#x"),
    "example.com/v1?x=1",
]


@pytest.mark.parametrize("host", INSIDE)
def test_d1_d4_an_address_inside_is_one_only_if_the_operator_says_private(
    tmp_path: Path, host: str
) -> None:
    text = f'default_provider = "p"\n[providers.p]\nbase_url = "https://{host}"\n'
    with pytest.raises(SettingsError, match=r"\[providers\.p\]"):
        written(tmp_path, text)
    if not any(sign in host for sign in "@#?"):
        written(tmp_path, text.replace("https", "http") + "private = true\n")


@pytest.mark.parametrize(
    "host", ["api.openai.com", "1.1.1.1", "local.example.com", "10.example.com"]
)
def test_d1_public_names_are_taken(tmp_path: Path, host: str) -> None:
    written(tmp_path, f'default_provider = "p"\n[providers.p]\nbase_url = "https://{host}/v1"\n')


def test_d3_a_redirect_is_not_followed(gateway: World) -> None:
    gateway.simulator.witness.clear()
    reply = chat(gateway.url, gateway.member(), messages=sim("status=302"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert len(gateway.simulator.witness.records()) == 1


def test_d5_a_proxy_in_the_environment_is_not_used(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    assert chat(gateway.url, gateway.member()).status == 200


def test_requests_are_spread_by_weight_over_whoever_has_a_credential(gateway: World) -> None:
    catalog = load_catalog(gateway.edge_settings)
    dispatch = Dispatch(MagicMock(), catalog, MagicMock(), MagicMock(), MagicMock(), MagicMock())
    asked = catalog.find("simulator/spread")
    drawn = [dispatch.chosen(asked, Principal()) for _ in range(400)]
    counts = Counter(target.model for target in drawn)
    assert set(counts) == {"simulator/echo", "dead/echo"}
    assert 240 < counts["dead/echo"] < 360
    assert {t.model: t.fallbacks for t in drawn}["dead/echo"] == ("simulator/echo",)


def test_a_spread_model_is_answered_by_another_when_the_chosen_one_fails(gateway: World) -> None:
    member = gateway.member()
    for _ in range(6):
        reply = chat(gateway.url, member, model="simulator/spread")
        assert (reply.status, reply.headers["x-gateway-model"]) == (200, "simulator/echo")
    entries = [e for e in gateway.journal(member) if e.kind == "settle"]
    assert {entry.model for entry in entries} == {"simulator/echo"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('match = "p/a"\nweights = { "p/b" = 0 }', "p/b must be a whole number"),
        ('match = "p/a"\nweights = { "q/b" = 1 }', "q/b names no provider"),
        ('match = "p/*"\nweights = { "p/b" = 1 }', "weights need a match without"),
        ('match = "p/a"\napis = ["audio"]', "apis must be one of"),
    ],
)
def test_mistakes_in_weights_and_apis_are_named(tmp_path: Path, line: str, told: str) -> None:
    head = 'default_provider = "p"\n[providers.p]\nbase_url = "https://p.example/v1"\n'
    with pytest.raises(SettingsError, match=told):
        written(tmp_path, f"{head}[[models]]\n{line}\n")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 600),
        ({"x-stainless-read-timeout": "20.5"}, 20.5),
        ({"x-stainless-timeout": "30"}, 30),
        ({"x-stainless-read-timeout": "900"}, 600),
        ({"x-stainless-read-timeout": "0"}, LEAST_PATIENCE),
        ({"x-stainless-read-timeout": "-5"}, LEAST_PATIENCE),
        ({"x-stainless-read-timeout": "nan"}, 600),
        ({"x-stainless-read-timeout": "soon"}, 600),
    ],
)
def test_r34_nobody_is_waited_for_longer_than_the_client_waits(
    headers: dict[str, str], seconds: float
) -> None:
    exchange = MagicMock()
    exchange.header = lambda name: headers.get(name.decode(), "").encode()
    assert _patience(exchange, Provider("p", "openai", "https://p.example")) == seconds
