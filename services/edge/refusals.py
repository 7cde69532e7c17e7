"""Refusals of the ledger, told so that a person can act and a client library does the right thing.

Amounts are those of the scope that refused: the caller's key, the caller's user, or, when the
organisation's budget is the cause, the organisation's. Of scopes that are not the cause nothing is
told.
"""

from datetime import UTC, datetime

from gateway.quota.v1.quota_pb2 import RateStatus, Refusal, ReserveResult
from services.common.money import to_usd
from services.edge import errors
from services.edge.errors import ApiError

_SCOPES = {"key": "API key", "user": "User", "org": "Organisation"}
_LONGEST_WAIT_S = 59


def from_refusal(refusal: Refusal, requested: str, model: str) -> ApiError:
    """The answer to a refused reservation of ``model`` ("provider/model"), which the client
    called ``requested``."""
    match refusal.reason:
        case "BUDGET_EXHAUSTED":
            return _exhausted(refusal)
        case "BUDGET_HELD":
            return _held(refusal)
        case "RATE_LIMITED":
            return _rate_limited(refusal, requested)
        case "API_KEY_INVALID":
            return errors.wrong_key()
        case "SUSPENDED":
            return errors.suspended(refusal.scope)
        case "MODEL_NOT_FOUND":
            return errors.unknown_model(requested)
        case "MODEL_NOT_PRICED":
            return _not_priced(model)
        case "CLOCK_SKEW" | "STORE_UNAVAILABLE":
            return errors.unavailable("quota")
        case "FIELD_INVALID":
            param = refusal.field.rpartition(".")[2] or None
            return errors.invalid(f"{refusal.field} {refusal.message}".strip(), param=param)
        case _:
            return errors.internal()


def rate_headers(result: ReserveResult) -> dict[str, str]:
    """``x-ratelimit-*`` as OpenAI spells them; nothing where no rate is configured."""
    headers: dict[str, str] = {}
    if result.HasField("request_rate"):
        _tell(headers, "requests", result.request_rate)
    if result.HasField("token_rate"):
        _tell(headers, "tokens", result.token_rate)
    return headers


def _tell(headers: dict[str, str], kind: str, rate: RateStatus) -> None:
    if rate.limit:
        headers[f"x-ratelimit-limit-{kind}"] = str(rate.limit)
        headers[f"x-ratelimit-remaining-{kind}"] = str(rate.remaining)
        headers[f"x-ratelimit-reset-{kind}"] = _duration(rate.reset_ms)


def budget_headers(refusal: Refusal) -> dict[str, str]:
    """The figures of the scope that refused."""
    return {
        "x-gateway-budget-scope": refusal.scope,
        "x-gateway-budget-limit-usd": to_usd(refusal.limit_nano_usd),
        "x-gateway-budget-spent-usd": to_usd(refusal.spent_nano_usd),
        "x-gateway-budget-held-usd": to_usd(refusal.held_nano_usd),
        "x-gateway-budget-asked-usd": to_usd(refusal.asked_nano_usd),
        "x-gateway-budget-reset": _moment(refusal.reset_time_ms),
        "x-gateway-affordable-tokens": str(refusal.affordable_output_tokens),
    }


def budget_sentence(refusal: Refusal) -> str:
    """Which limit, how much is spent, how much is held, what this request could cost."""
    scope = _SCOPES.get(refusal.scope, "The")
    running = refusal.held_count
    by = f" by {running} running request{'s' * (running != 1)}" if running else ""
    return (
        f"{scope} budget ${to_usd(refusal.limit_nano_usd)} per month: "
        f"${to_usd(refusal.spent_nano_usd)} spent, ${to_usd(refusal.held_nano_usd)} held{by}; "
        f"this request may cost up to ${to_usd(refusal.asked_nano_usd)}."
    )


def _exhausted(refusal: Refusal) -> ApiError:
    affordable = refusal.affordable_output_tokens
    hint = f" Lower max_tokens to {affordable} or less, or" if affordable > 0 else " To go on,"
    return ApiError(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details. "
        f"{budget_sentence(refusal)}{hint} ask your administrator for a higher limit; the budget "
        f"starts anew at {_moment(refusal.reset_time_ms)}.",
        headers={**budget_headers(refusal), "x-should-retry": "false"},
    )


def _held(refusal: Refusal) -> ApiError:
    seconds = _seconds(refusal.retry_after_ms or 2_000, most=10)
    affordable = refusal.affordable_output_tokens
    hint = f" Or lower max_tokens to {affordable}." if affordable > 0 else ""
    return ApiError(
        429,
        "rate_limit_error",
        "budget_held",
        f"{budget_sentence(refusal)} It fits as soon as running requests end and cost less than "
        f"they hold. Please try again in {seconds}s.{hint}",
        headers={
            **budget_headers(refusal),
            "retry-after": str(seconds),
            "retry-after-ms": str(seconds * 1_000),
            "x-should-retry": "true",
        },
    )


def _rate_limited(refusal: Refusal, model: str) -> ApiError:
    seconds = _seconds(refusal.retry_after_ms or 1_000, most=_LONGEST_WAIT_S)
    scope = _SCOPES.get(refusal.scope, "your").lower()
    unit = {
        "requests": "requests per min (RPM)",
        "tokens": "tokens per min (TPM)",
        "concurrency": "requests at the same time",
    }.get(refusal.rate_kind, "requests")
    milliseconds = min(max(refusal.retry_after_ms, 1), seconds * 1_000)
    return ApiError(
        429,
        "tokens" if refusal.rate_kind == "tokens" else "requests",
        "rate_limit_exceeded",
        f"Rate limit reached for {model} of this {scope} on {unit}: Limit {refusal.rate_limit}. "
        f"Please try again in {seconds}s.",
        headers={
            "retry-after": str(seconds),
            "retry-after-ms": str(milliseconds),
            "x-gateway-rate-kind": refusal.rate_kind,
        },
    )


def _not_priced(model: str) -> ApiError:
    return errors.invalid(
        f"The model `{model}` has no price, so its cost cannot be held against a budget. The "
        f'administrator can add one to the catalog: [[models]] match = "{model}", '
        'input_usd_per_mtok = "…", output_usd_per_mtok = "…" (0 is allowed).',
        param="model",
        code="model_not_priced",
    )


def _seconds(milliseconds: int, *, most: int) -> int:
    return min(max(-(-milliseconds // 1_000), 1), most)


def _moment(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(milliseconds: int) -> str:
    """As Go writes durations: ``120ms``, ``6.5s``, ``1m0s``."""
    if milliseconds < 1_000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1_000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{seconds}" if minutes else seconds
