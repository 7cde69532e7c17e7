"""The catalog: strict in what it reads, plain in what it finds."""

from pathlib import Path
from typing import Any

import pytest

from services.common.settings import SettingsError
from services.edge.catalog import Catalog, load_catalog
from services.edge.catalog_file import read_catalog
from services.edge.errors import ApiError
from services.edge.settings import EdgeSettings

SHIPPED = Path(__file__).parents[2] / "deploy" / "models.toml"
CLOUDFLARE = {
    "cloudflare_account": "acc",
    "cloudflare_gateway": "gw",
    "cloudflare_token": "cf-token",
}


@pytest.fixture(autouse=True)
def no_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.catalog.environment", lambda name: "")


def settings(**more: Any) -> EdgeSettings:
    told: dict[str, Any] = {
        "catalog": SHIPPED,
        "openai_api_key": "",
        "openai_base_url": "",
        "cloudflare_account": "",
        "cloudflare_gateway": "",
        "cloudflare_token": "",
        "default_provider": "",
    }
    return EdgeSettings(_env_file=None, **(told | more))


def shipped(**more: Any) -> Catalog:
    return load_catalog(settings(**more))


def written(tmp_path: Path, text: str, **more: Any) -> Catalog:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return load_catalog(settings(catalog=path, **more))


HEAD = 'default_provider = "p"\n[providers.p]\nbase_url = "https://p.example/v1"\n'

WRONG = {
    "no toml": ("=", "Invalid"),
    "unknown key": (HEAD + "colour = 1", r"\[providers.p\]: unknown key 'colour'"),
    "unknown table": ("[prices]\n", "unknown key 'prices'"),
    "unknown model key": (
        HEAD + '[[models]]\nmatch = "p/a"\nmax_tokens = 5',
        r"\[\[models\]\] number 1: unknown key 'max_tokens'",
    ),
    "unknown kind": (HEAD + 'kind = "azure"', r"\[providers.p\] kind must be one of openai"),
    "wrong type": (HEAD + "private = 1", r"\[providers.p\]: private must be of type bool"),
    "no seconds": (HEAD + "idle_timeout_s = -1", r"idle_timeout_s must be seconds"),
    "bad name": ('[providers."P P"]\n', "a name is 1 to 64 of"),
    "no provider": (HEAD + '[[models]]\nmatch = "q/a"', "q/a names no provider"),
    "no slash": (HEAD + '[[models]]\nmatch = "a"', 'match must be "provider/model"'),
    "alias of a pattern": (
        HEAD + '[[models]]\nmatch = "p/*"\naliases = ["x"]',
        r"aliases and upstream_model need a match without \*",
    ),
    "no default": ('default_provider = "q"', "q is no provider of the file"),
    "plain http": (HEAD.replace("https", "http"), "base_url must be https"),
    "private address": (HEAD.replace("p.example", "10.0.0.1"), "10.0.0.1 is not public"),
    "metadata address": (HEAD.replace("p.example", "169.254.169.254"), "is not public"),
    "D1 decimal address": (HEAD.replace("p.example", "2130706433"), "not the name of a public"),
    "D1 hex address": (HEAD.replace("p.example", "0x7f.1"), "not the name of a public"),
    "D1 octal address": (HEAD.replace("p.example", "0177.0.0.1"), "not the name of a public"),
    "D1 short address": (HEAD.replace("p.example", "127.1"), "not the name of a public"),
    "D1 IPv6-mapped": (HEAD.replace("p.example", "[::ffff:10.0.0.1]"), "is not public"),
    "D1 IPv6 loopback": (HEAD.replace("p.example", "[::1]"), "is not public"),
    "D1 CGNAT": (HEAD.replace("p.example", "100.64.0.1"), "is not public"),
    "D1 metadata name": (HEAD.replace("p.example", "metadata.google.internal"), "not the name of"),
    "D1 bare name": (HEAD.replace("p.example", "metadata"), "not the name of a public"),
    "D1 address in a name": (HEAD.replace("p.example", "10.0.0.1.nip.io"), "not the name of"),
    "D1 port of another": (HEAD.replace("p.example", "p.example:25"), "port 25 is another"),
    "D1 no port": (HEAD.replace("p.example", "p.example:99999"), "no valid port"),
    "D1 a query": (HEAD.replace("/v1", "/v1?x=1"), "no user, query or fragment"),
    "D1 an empty user": (HEAD.replace("p.example", "@p.example"), "must have no user"),
    "a user in the URL": (HEAD.replace("p.example", "u:p@p.example"), "must have no user"),
    "a fragment": (HEAD.replace("/v1", "/v1#"), "no user, query or fragment|is no http"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    text, message = WRONG[name]
    if name == "a fragment":
        text = HEAD.replace("/v1", "/v1#x")
    with pytest.raises(SettingsError, match=message):
        written(tmp_path, text)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match="GATEWAY_CATALOG: cannot read /nowhere"):
        load_catalog(settings(catalog=Path("/nowhere")))


def test_private_addresses_are_reached_when_the_operator_says_so(tmp_path: Path) -> None:
    text = HEAD.replace("https://p.example", "http://10.0.0.1") + "private = true\n"
    assert written(tmp_path, text).find("p/a").provider.usable


def test_the_shipped_catalog_has_every_provider_of_its_models() -> None:
    file = read_catalog(SHIPPED)
    assert {"openai", "anthropic", "google-ai-studio", "groq", "mistral", "simulator"} <= set(
        file.providers
    )
    assert len({entry.match for entry in file.models}) == len(file.models)


def test_an_exact_entry_never_stands_behind_its_pattern() -> None:
    """The first match counts: an exact entry after its pattern would be dead."""
    catalog, file = shipped(), read_catalog(SHIPPED)
    for entry in file.models:
        if entry.exact:
            assert catalog.find(entry.match).max_output_tokens == entry.max_output_tokens


def test_without_an_upstream_the_simulator_is_the_default() -> None:
    assert shipped().find("echo").model == "simulator/echo"
    assert [name for name, _ in shipped().offered([])] == ["simulator/echo", "simulator/lorem"]


@pytest.mark.parametrize(
    "more",
    [{"openai_api_key": "sk-x"}, {"openai_base_url": "http://127.0.0.1:1/v1"}, CLOUDFLARE],
)
def test_a_configured_upstream_becomes_the_default(more: dict[str, Any]) -> None:
    assert shipped(**more).find("gpt-4o").model == "openai/gpt-4o"


def test_the_default_may_be_named() -> None:
    assert shipped(default_provider="groq").find("x").model == "groq/x"
    with pytest.raises(SettingsError, match="GATEWAY_DEFAULT_PROVIDER: 'nobody'"):
        shipped(default_provider="nobody")


@pytest.mark.parametrize("name", ["nobody/x", "openai/", "", "a\nb", "x" * 300, "openai/\u00e9"])
def test_what_no_provider_has_is_unknown(name: str) -> None:
    with pytest.raises(ApiError) as raised:
        shipped().find(name)
    assert (raised.value.status, raised.value.code) == (404, "model_not_found")


def test_a_local_server_under_openais_name_needs_no_key_and_gets_the_old_cap() -> None:
    local = shipped(openai_base_url="http://127.0.0.1:11434/v1").find("llama3").provider
    assert (local.base_url, local.usable, local.cap_field) == (
        "http://127.0.0.1:11434/v1",
        True,
        "max_tokens",
    )
    own = shipped(openai_api_key="sk-x").find("gpt-5").provider
    assert (own.credential, own.cap_field) == ("sk-x", "max_completion_tokens")
    assert not shipped().find("openai/gpt-5").provider.usable


def test_cloudflare_stands_before_every_provider_but_the_private() -> None:
    catalog = shipped(**CLOUDFLARE)
    found = catalog.find("anthropic/claude-sonnet-4-5")
    assert found.provider.base_url == "https://gateway.ai.cloudflare.com/v1/acc/gw/compat"
    assert found.upstream_model == "anthropic/claude-sonnet-4-5"
    assert found.provider.usable
    assert found.provider.cap_field == "max_tokens"
    assert catalog.find("openai/gpt-5").provider.cap_field == "max_completion_tokens"
    assert catalog.find("simulator/echo").provider.base_url.startswith("http://127.0.0.1")


REST_NAMES = {
    "anthropic/claude-x": "anthropic/claude-x",
    "google-ai-studio/gemini-2.5-pro": "google/gemini-2.5-pro",
    "grok/grok-4": "xai/grok-4",
    "workers-ai/@cf/meta/llama": "@cf/meta/llama",
}


@pytest.mark.parametrize("name", REST_NAMES)
def test_cloudflares_rest_form_spells_models_its_own_way(name: str) -> None:
    target = shipped(**CLOUDFLARE, cloudflare_form="rest").find(name)
    assert target.provider.base_url == "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1"
    assert (target.model, target.upstream_model) == (name, REST_NAMES[name])


def test_no_secret_is_in_a_providers_text() -> None:
    provider = shipped(openai_api_key="sk-canary", **CLOUDFLARE).find("gpt-5").provider
    assert "sk-canary" not in repr(provider)
    assert "cf-token" not in f"{provider!r} {provider}"
