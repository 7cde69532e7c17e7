"""Which model is meant, and where it is asked for: names, providers, fallbacks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from services.common.settings import SettingsError, environment
from services.edge import errors
from services.edge.addresses import Place, check_url, place
from services.edge.catalog_file import (
    DEFAULT_APIS,
    DEFAULT_MAX_AUDIO_SECONDS,
    DEFAULT_MAX_OUTPUT_TOKENS,
    CatalogFile,
    ProviderEntry,
    read_catalog,
)
from services.edge.openai import MAX_MODEL_LENGTH
from services.edge.settings import EdgeSettings

_NAME = re.compile(rf"[\x21-\x7e]{{1,{MAX_MODEL_LENGTH}}}")
_REST_NAMES = {"google-ai-studio": "google", "grok": "xai"}
_NATIVE = {"mistral": "mistral/v1", "grok": "grok/v1", "workers-ai": "workers-ai/v1"}
_CLOUDFLARE = "https://gateway.ai.cloudflare.com/v1/{account}/{gateway}/compat"
_CLOUDFLARE_REST = "https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1"


@dataclass(frozen=True, slots=True, repr=False)
class Provider:
    """Somebody who answers. ``credential`` is the provider's own key, ``cloudflare_token`` that of
    the Cloudflare gateway in front of it; neither is ever shown."""

    name: str
    kind: str
    base_url: str
    credential: str = ""
    cloudflare_token: str = ""
    cloudflare_gateway: str = ""
    connect_timeout: float = 5.0
    first_byte_timeout: float = 600.0
    idle_timeout: float = 300.0
    include_usage: str = "inject"
    output_cap: str = ""
    private: bool = False
    mend_stream: bool = False

    @property
    def usable(self) -> bool:
        """Whether requests can be sent without an organisation's own key."""
        return self.private or bool(self.credential or self.cloudflare_token)

    @property
    def cap_field(self) -> str:
        """The field that limits output: OpenAI's reasoning models refuse the old one, many
        others do not know the new one."""
        if self.output_cap:
            return self.output_cap
        host = urlsplit(self.base_url).hostname or ""
        ours = self.name == "openai" and (self.kind != "openai" or host == "api.openai.com")
        return "max_completion_tokens" if ours else "max_tokens"


@dataclass(frozen=True, slots=True)
class Target:
    """A model at a provider. ``model`` is "provider/model" as the ledger knows it."""

    provider: Provider
    model: str
    upstream_model: str
    max_output_tokens: int
    fallbacks: tuple[str, ...] = ()
    apis: tuple[str, ...] = DEFAULT_APIS
    weights: tuple[tuple[str, int], ...] = ()
    max_audio_seconds: int = DEFAULT_MAX_AUDIO_SECONDS


def placed(target: Target, path: str) -> Target:
    """Where a target answers ``path``: Cloudflare's address for all providers knows chat only;
    the rest is asked at the provider's own address there, under the model's own name."""
    provider = target.provider
    if provider.kind != "cloudflare-compat" or path == "/chat/completions":
        return target
    root = provider.base_url.removesuffix("/compat")
    base = f"{root}/{_NATIVE.get(provider.name, provider.name)}"
    own = target.upstream_model.removeprefix(f"{provider.name}/")
    return replace(target, provider=replace(provider, base_url=base), upstream_model=own)


class Catalog:
    """Every name a client may use. Patterns are tried in the order of the file."""

    def __init__(self, file: CatalogFile, providers: dict[str, Provider], default: str) -> None:
        self._providers = providers
        self._default = default
        self._models = file.models
        self._aliases = {alias: m.match for m in file.models for alias in m.aliases}
        self._found: dict[str, Target] = {}

    def find(self, name: str) -> Target:
        """The target of a model name: an alias, "provider/model", or a model of the default
        provider. Raises ApiError 404."""
        target = self._found.get(name)
        if target is None:
            target = self._find(name)
            if len(self._found) < 10_000:
                self._found[name] = target
        return target

    def offered(self, with_key: Iterable[str]) -> list[tuple[str, str]]:
        """Names for the list of models, with their providers: what the file names exactly, at
        providers that are usable or for which the organisation has a key."""
        own = set(with_key)
        names: dict[str, str] = {}
        for entry in self._models:
            provider = self._providers[entry.match.partition("/")[0]]
            if entry.exact and (provider.usable or provider.name in own):
                names.update(dict.fromkeys((entry.match, *entry.aliases), provider.name))
        return list(names.items())

    def private(self) -> frozenset[Place]:
        """Where the operator's own servers are: no other may be at an address inside."""
        return frozenset(place(p.base_url) for p in self._providers.values() if p.private)

    def example(self) -> str:
        """A model that examples may ask for: one that is offered by its full name, the simulator's
        only when there is no other."""
        offered = [model for model, _ in self.offered(()) if "/" in model]
        real = [model for model in offered if not model.startswith("simulator/")]
        return next(iter(real or offered), "provider/model")

    def _find(self, name: str) -> Target:
        if not _NAME.fullmatch(name):
            raise errors.unknown_model(name)
        full = self._aliases.get(name, name)
        if "/" not in full:
            full = f"{self._default}/{full}"
        provider_name, _, model = full.partition("/")
        provider = self._providers.get(provider_name)
        if provider is None or not model:
            raise errors.unknown_model(name)
        entry = next((m for m in self._models if fnmatchcase(full, m.match)), None)
        upstream = (entry.upstream_model if entry else "") or model
        return Target(
            provider,
            f"{provider_name}/{upstream}",
            _sent_as(provider, upstream),
            entry.max_output_tokens if entry else DEFAULT_MAX_OUTPUT_TOKENS,
            entry.fallbacks if entry else (),
            entry.apis if entry else DEFAULT_APIS,
            entry.weights if entry else (),
            entry.max_audio_seconds if entry else DEFAULT_MAX_AUDIO_SECONDS,
        )


def load_catalog(settings: EdgeSettings) -> Catalog:
    """The catalog of this process. Raises SettingsError."""
    file = read_catalog(settings.catalog)
    providers = {name: _provider(entry, settings) for name, entry in file.providers.items()}
    configured = _configured(settings)
    default = settings.default_provider or configured or file.default_provider
    if default not in providers:
        raise SettingsError(f"GATEWAY_DEFAULT_PROVIDER: {default!r} is no provider of the catalog")
    return Catalog(file, providers, default)


def _configured(settings: EdgeSettings) -> str:
    """The default provider that the environment implies; empty for the catalog's."""
    cloudflare = settings.cloudflare_account and settings.cloudflare_gateway
    key = settings.openai_api_key.get_secret_value()
    return "openai" if cloudflare or key or settings.openai_base_url else ""


def _provider(entry: ProviderEntry, settings: EdgeSettings) -> Provider:
    kind, base, token = entry.kind, entry.base_url, ""
    told = _told(entry.base_url_env, settings)
    if settings.cloudflare_account and settings.cloudflare_gateway and not entry.private:
        kind = f"cloudflare-{settings.cloudflare_form}"
        form = _CLOUDFLARE_REST if kind == "cloudflare-rest" else _CLOUDFLARE
        base = form.format(account=settings.cloudflare_account, gateway=settings.cloudflare_gateway)
    elif told:
        base = told
    private = entry.private or (bool(told) and base == told)
    if kind.startswith("cloudflare"):
        token = settings.cloudflare_token.get_secret_value()
    check_url(base, f"[providers.{entry.name}]", private=private)
    return Provider(
        name=entry.name,
        kind=kind,
        base_url=base.rstrip("/"),
        credential=_told(entry.credential_env, settings),
        cloudflare_token=token,
        cloudflare_gateway=settings.cloudflare_gateway,
        connect_timeout=entry.connect_timeout_s,
        first_byte_timeout=entry.first_byte_timeout_s,
        idle_timeout=entry.idle_timeout_s,
        include_usage=entry.include_usage,
        output_cap=entry.output_cap,
        private=private,
        mend_stream=entry.mend_stream,
    )


def _told(name: str, settings: EdgeSettings) -> str:
    """The value of a variable that the catalog names."""
    match name:
        case "":
            return ""
        case "OPENAI_API_KEY":
            return settings.openai_api_key.get_secret_value()
        case "OPENAI_BASE_URL":
            return settings.openai_base_url
        case "GATEWAY_SIMULATOR_URL":
            return settings.simulator_url
        case _:
            return environment(name)


def _sent_as(provider: Provider, model: str) -> str:
    """The model's name in the upstream request."""
    match provider.kind:
        case "cloudflare-compat":
            return f"{provider.name}/{model}"
        case "cloudflare-rest" if provider.name == "workers-ai":
            return model
        case "cloudflare-rest":
            return f"{_REST_NAMES.get(provider.name, provider.name)}/{model}"
        case _:
            return model
