"""The catalog as it is written: ``models.toml``, read strictly. Prices are quota's part of it."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.common.settings import SettingsError

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_KINDS = ("openai", "cloudflare-compat", "cloudflare-rest")
_CAPS = ("", "max_tokens", "max_completion_tokens")
_USAGE = ("inject", "native", "never")
_PRICES = frozenset(
    [
        "input_usd_per_mtok",
        "cached_input_usd_per_mtok",
        "cache_write_usd_per_mtok",
        "audio_input_usd_per_mtok",
        "output_usd_per_mtok",
        "reasoning_usd_per_mtok",
        "audio_output_usd_per_mtok",
        "request_usd",
        "extra_unit_usd",
    ]
)
DEFAULT_MAX_OUTPUT_TOKENS = 16_384
DEFAULT_APIS = ("chat", "responses", "completions", "embeddings")
_APIS = (
    *DEFAULT_APIS,
    *("moderations", "images", "speech", "transcriptions", "translations"),
)
DEFAULT_MAX_AUDIO_SECONDS = 1_500
"""Longest recording: what OpenAI's newer models take."""


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """``[providers.<name>]``."""

    name: str
    kind: str = "openai"
    base_url: str = ""
    base_url_env: str = ""
    credential_env: str = ""
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 600.0
    idle_timeout_s: float = 300.0
    include_usage: str = "inject"
    output_cap: str = ""
    price_as: str = ""
    private: bool = False
    mend_stream: bool = False


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """``[[models]]``. ``match`` is "provider/pattern"."""

    match: str
    aliases: tuple[str, ...] = ()
    upstream_model: str = ""
    max_output_tokens: int = DEFAULT_MAX_OUTPUT_TOKENS
    max_audio_seconds: int = DEFAULT_MAX_AUDIO_SECONDS
    fallbacks: tuple[str, ...] = ()
    apis: tuple[str, ...] = DEFAULT_APIS
    weights: tuple[tuple[str, int], ...] = ()

    @property
    def exact(self) -> bool:
        return "*" not in self.match


@dataclass(frozen=True, slots=True)
class CatalogFile:
    default_provider: str
    providers: dict[str, ProviderEntry] = field(default_factory=dict)
    models: tuple[ModelEntry, ...] = ()


def read_catalog(path: Path) -> CatalogFile:
    """The file's content. Raises SettingsError that names the line's table and key."""
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"GATEWAY_CATALOG: cannot read {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"GATEWAY_CATALOG: {path}: {error}") from None
    try:
        return _catalog(document)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_CATALOG: {path}: {error}") from None


def _catalog(document: dict[str, Any]) -> CatalogFile:
    _known(document, ("default_provider", "providers", "models"), "the file")
    tables = _typed(document, "providers", dict, {}, "the file")
    providers = {name: _provider(name, table) for name, table in tables.items()}
    rows = _typed(document, "models", list, [], "the file")
    models = tuple(_model(row, number) for number, row in enumerate(rows, 1))
    for entry in models:
        for name in (entry.match, *entry.fallbacks, *dict(entry.weights)):
            if name.partition("/")[0] not in providers:
                raise ValueError(f"[[models]] {entry.match}: {name} names no provider of the file")
    default = _typed(document, "default_provider", str, "", "the file")
    if default and default not in providers:
        raise ValueError(f"default_provider: {default} is no provider of the file")
    return CatalogFile(default, providers, models)


def _provider(name: str, table: Any) -> ProviderEntry:
    where = f"[providers.{name}]"
    if not isinstance(table, dict):
        raise ValueError(f"{where}: must be a table")
    if not (0 < len(name) <= 64 and set(name) <= _NAME):
        raise ValueError(f"{where}: a name is 1 to 64 of a-z, 0-9, - and _")
    known = [f for f in ProviderEntry.__dataclass_fields__ if f != "name"]
    _known(table, known, where)
    texts = ("kind", "base_url", "base_url_env", "credential_env", "include_usage", "output_cap")
    values: dict[str, Any] = {}
    for key in table:
        if key in texts or key == "price_as":
            values[key] = _typed(table, key, str, "", where)
        elif key in ("private", "mend_stream"):
            values[key] = _typed(table, key, bool, False, where)
        else:
            values[key] = _seconds(table, key, where)
    entry = ProviderEntry(name, **values)
    _one_of(entry.kind, _KINDS, f"{where} kind")
    _one_of(entry.include_usage, _USAGE, f"{where} include_usage")
    _one_of(entry.output_cap, _CAPS, f"{where} output_cap")
    return entry


def _model(row: Any, number: int) -> ModelEntry:
    where = f"[[models]] number {number}"
    if not isinstance(row, dict):
        raise ValueError(f"{where}: must be a table")
    known = [f for f in ModelEntry.__dataclass_fields__] + sorted(_PRICES)
    _known(row, known, where)
    match = _typed(row, "match", str, "", where)
    if "/" not in match:
        raise ValueError(f'{where}: match must be "provider/model", with * for any text')
    where = f"[[models]] {match}"
    entry = ModelEntry(
        match=match,
        aliases=_strings(row, "aliases", where),
        upstream_model=_typed(row, "upstream_model", str, "", where),
        max_output_tokens=_count(row, "max_output_tokens", DEFAULT_MAX_OUTPUT_TOKENS, where),
        max_audio_seconds=_count(row, "max_audio_seconds", DEFAULT_MAX_AUDIO_SECONDS, where),
        fallbacks=_strings(row, "fallbacks", where),
        weights=_weights(row, where),
        apis=_strings(row, "apis", where) if "apis" in row else DEFAULT_APIS,
    )
    if entry.weights and not entry.exact:
        raise ValueError(f"{where}: weights need a match without *")
    for api in entry.apis:
        _one_of(api, _APIS, f"{where} apis")
    if not entry.exact and (entry.aliases or entry.upstream_model):
        raise ValueError(f"{where}: aliases and upstream_model need a match without *")
    return entry


def _known(table: dict[str, Any], known: Iterable[str], where: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; there are: {', '.join(known)}")


def _typed(table: dict[str, Any], key: str, kind: type, default: Any, where: str) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: {key} must be of type {kind.__name__}")
    return value


def _seconds(table: dict[str, Any], key: str, where: str) -> float:
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise ValueError(f"{where}: {key} must be seconds, above 0 and at most 86400")
    return float(value)


def _count(row: dict[str, Any], key: str, default: int, where: str) -> int:
    value: int = _typed(row, key, int, default, where)
    if not 1 <= value <= 1 << 24:
        raise ValueError(f"{where}: {key} must be from 1 to {1 << 24}")
    return value


def _strings(row: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = _typed(row, key, list, [], where)
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{where}: {key} must be a list of names")
    return tuple(values)


def _weights(row: dict[str, Any], where: str) -> tuple[tuple[str, int], ...]:
    table = _typed(row, "weights", dict, {}, where)
    for name, weight in table.items():
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= 1_000:
            raise ValueError(f"{where}: weights: {name} must be a whole number from 1 to 1000")
    return tuple(table.items())


def _one_of(value: str, allowed: tuple[str, ...], where: str) -> None:
    if value not in allowed:
        raise ValueError(f"{where} must be one of {', '.join(allowed)}, not {value!r}")
