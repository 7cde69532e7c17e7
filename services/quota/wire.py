"""The hot messages and the ledger's words, each made of the other.

Reading raises InvalidField for one item; prices raise Unpriced.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from gateway.quota.v1 import quota_pb2 as pb
from services.common import keys
from services.common.errors import InvalidField
from services.common.money import MAX_NANO_USD, MAX_USD
from services.quota import pricing
from services.quota.items import NOTHING, Checkpoint, Owner, Reserve, Settle
from services.quota.months import is_month, month_of, number
from services.quota.prices import PriceBook
from services.quota.pricing import Tokens

_MAX_TOKENS = 2**31 - 1
_MAX_TIME_MS = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1000
_WORD = re.compile(r"[!-~]{1,256}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{0,256}")
_OPERATION = re.compile(r"[a-z0-9_.-]{0,64}")
_TEXTS = re.compile(
    r"[A-Za-z0-9_-]{1,64}\0[!-~]{1,256}\0[^\x00-\x1f\x7f]{0,256}\0[^\x00-\x1f\x7f]{0,256}"
)
"""Id, fingerprint, name and request id in one look; what it does not match is looked at closely."""
_FLAGS = ("estimated", "partial", "anomaly", "unreconciled", "cached")
_DAY_MS = 86_400_000
_REMEMBERED = 10_000
_KINDS = {pb.SETTLE_OUTCOME_CHARGED: "charge", pb.SETTLE_OUTCOME_RELEASED: "release"}


def reserve(item: pb.ReserveItem, prices: PriceBook, now_ms: int) -> Reserve:
    fingerprint, named, request = item.fingerprint, item.requested_model, item.request_id
    rid, model, operation = item.reservation_id, item.model, item.operation
    if not _TEXTS.fullmatch(f"{rid}\0{fingerprint}\0{named}\0{request}"):
        _require(_WORD, "fingerprint", fingerprint)
        _require(_NAME, "requested_model", named)
        _require(_NAME, "request_id", request)
        _id("reservation_id", rid)
    _check_names(model, operation)
    most, least = _tokens("bound", item.bound), item.min_output_tokens
    if not 0 <= least <= most.output:
        raise InvalidField("min_output_tokens", "must be between 0 and bound.output_tokens")
    price = prices.ceiling(model, item.service_tier, now_ms)
    if most.output and not price.prices_output:
        raise prices.unpriced(model)
    return Reserve(
        rid,
        fingerprint,
        _owner(item.owner),
        model,
        pricing.bound(price, most),
        most.output,
        least,
        item.caller_time_ms,
        named,
        operation,
        request,
        most.input + least,
        f"{most.input} 0 0 0 0 0 0 0",
    )


def checkpoint(item: pb.CheckpointItem, prices: PriceBook, now_ms: int) -> Checkpoint:
    _require(_WORD, "model", item.model)
    used = _tokens("usage", item.usage)
    if not 0 <= item.want_output_tokens <= _MAX_TOKENS:
        raise InvalidField("want_output_tokens", f"must be between 0 and {_MAX_TOKENS}")
    if item.want_output_tokens and not item.HasField("bound"):
        raise InvalidField("bound", "is required with want_output_tokens")
    most = _tokens("bound", item.bound)
    ceiling = prices.ceiling(item.model, item.service_tier, now_ms)
    return Checkpoint(
        id=_id("reservation_id", item.reservation_id),
        owner=_owner(item.owner),
        cost=_cost(prices.price(item.model, item.service_tier, now_ms), used),
        tokens=str(used),
        want=item.want_output_tokens,
        bound=pricing.bound(ceiling, most),
    )


def settle(item: pb.SettleItem, prices: PriceBook, now_ms: int) -> Settle:
    kind = _KINDS.get(item.outcome)
    if kind is None:
        raise InvalidField("outcome", "must be SETTLE_OUTCOME_CHARGED or SETTLE_OUTCOME_RELEASED")
    admit_ms, month = item.admit_time_ms, item.month
    if not 0 <= admit_ms < _MAX_TIME_MS:
        raise InvalidField("admit_time_ms", "must be Unix milliseconds")
    if not admit_ms and kind != "charge":
        admit_ms = now_ms
    if month:
        _check_month(month, admit_ms)
    flags = _flags(item.flags) if item.flags else ""
    rid, fingerprint, request = item.reservation_id, item.fingerprint, item.request_id
    if not _TEXTS.fullmatch(f"{rid}\0{fingerprint}\0\0{request}"):
        if fingerprint:
            _require(_WORD, "fingerprint", fingerprint)
        _require(_NAME, "request_id", request)
        _id("reservation_id", rid)
    held, model, operation = item.held_nano_usd, item.model, item.operation
    if not 0 <= held <= 2**53:
        raise InvalidField("held_nano_usd", "must be the hold's nano-USD, or 0")
    tokens, cost = NOTHING, 0
    if kind == "charge":
        _check_names(model, operation)
        used = _tokens("usage", item.usage)
        cost = _cost(prices.price(model, item.service_tier, admit_ms or now_ms), used)
        tokens = str(used)
    else:
        _check_names(model or "none", operation)
    return Settle(
        rid,
        kind,
        _owner(item.owner),
        month or month_of(admit_ms or now_ms),
        admit_ms,
        fingerprint,
        model,
        operation,
        cost,
        tokens,
        flags,
        item.grace,
        request,
        held,
    )


def model_price(model: str, prices: PriceBook, now_ms: int) -> pb.ModelPrice:
    """Each unit at its dearest. Raises Unpriced."""
    _require(_WORD, "price_models", model)
    price = prices.dearest(model, now_ms)
    rates = pricing.dearest(price, _MAX_TOKENS)
    return pb.ModelPrice(
        model=model,
        input_price_pico_usd=max(rates.input, rates.cached, rates.written, rates.audio),
        output_price_pico_usd=max(rates.output, rates.reasoning, rates.audio_output),
        request_price_pico_usd=price.request,
        extra_unit_price_pico_usd=price.extra,
    )


def _owner(owner: pb.Owner) -> Owner:
    return _checked_owner(owner.org_id, owner.user_id, owner.key_id)


@lru_cache(_REMEMBERED)
def _checked_owner(org: str, user: str, key: str) -> Owner:
    return Owner(_id("owner.org_id", org), _id("owner.user_id", user), _id("owner.key_id", key))


@lru_cache(_REMEMBERED)
def _check_names(model: str, operation: str) -> None:
    _require(_WORD, "model", model)
    _require(_OPERATION, "operation", operation)


def _id(field: str, text: str) -> str:
    if not keys.is_id(text):
        raise InvalidField(field, "is required: 1 to 64 letters, digits, _ or -")
    return text


def _require(pattern: re.Pattern[str], field: str, text: str) -> None:
    if not pattern.fullmatch(text):
        raise InvalidField(field, "is missing, too long or has characters that are not allowed")


def _flags(flags: Sequence[str]) -> str:
    for flag in flags:
        if flag not in _FLAGS:
            raise InvalidField("flags", f"may hold {', '.join(_FLAGS)}; not {flag[:32]!r}")
    return ",".join(flags)


def _tokens(field: str, usage: pb.TokenUsage) -> Tokens:
    found = Tokens(
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_input_tokens,
        usage.audio_input_tokens,
        usage.output_tokens,
        usage.reasoning_output_tokens,
        usage.audio_output_tokens,
        usage.extra_units,
    )
    a, b, c, d, e, f, g, h = found
    if not 0 <= a | b | c | d | e | f | g | h <= _MAX_TOKENS:  # all ones: as for each of them
        raise InvalidField(field, f"must hold numbers between 0 and {_MAX_TOKENS}")
    return found


def _cost(price: pricing.Price, used: Tokens) -> int:
    cost = pricing.charge(price, used)
    if cost > MAX_NANO_USD:
        raise InvalidField("usage", f"costs more than {MAX_USD} USD")
    return cost


def _check_month(month: str, admit_ms: int) -> None:
    """An admission pays with its own month; with the next one when clocks differ around midnight,
    or when the organisation has seen the next one already."""
    if not _month_fits(month, admit_ms // _DAY_MS):
        raise InvalidField("month", 'must be the month of admission, like "2026-11"')


@lru_cache(_REMEMBERED)
def _month_fits(month: str, day: int) -> bool:
    if not is_month(month):
        return False
    return not day or abs(number(month) - number(month_of(day * _DAY_MS))) <= 1
