"""What goes wrong at an upstream, in our words. Every shape of error body becomes the envelope;
what is about our account there is never told as the client's fault."""

import re
import secrets
from typing import Any

import orjson

from services.edge.errors import INVALID, SERVER, ApiError

_MOST = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_OUR_CODES = frozenset(["2009", "2021", "2040", "10000", "insufficient_quota"])
_OUR_LIMITS = frozenset(["2003", "2041", "2045"])


class UpstreamFailed(Exception):
    """An attempt that brought no answer. ``unseen``: the provider never saw the request;
    ``again``: another provider may be asked; ``billed``: this one may have done the work."""

    def __init__(self, error: ApiError, *, again: bool, billed: bool, unseen: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.billed = billed
        self.unseen = unseen


def not_connected() -> UpstreamFailed:
    return UpstreamFailed(
        _upstream_error("could not be reached"), again=True, billed=False, unseen=True
    )


def broken() -> UpstreamFailed:
    """The connection ended after the request was sent."""
    return UpstreamFailed(_upstream_error("ended the connection"), again=False, billed=True)


def timed_out() -> UpstreamFailed:
    return UpstreamFailed(_timeout(), again=False, billed=True)


def malformed() -> UpstreamFailed:
    return UpstreamFailed(
        _upstream_error("sent an answer that cannot be read"), again=False, billed=True
    )


def truncated() -> ApiError:
    """For streams that stop in the middle."""
    return ApiError(
        502, SERVER, "upstream_error", "The upstream provider ended its answer too early."
    )


def refused(status: int, body: bytes, retry_after: str, *, secret: str = "") -> UpstreamFailed:
    """An answer with an error status, or an error under 200."""
    told = _Told.read(body)
    error = _by_status(status, told, retry_after)
    if secret:
        error.message = error.message.replace(secret, "***")
    again = status >= 500 or status in (408, 429) or error.code == "upstream_auth"
    return UpstreamFailed(error, again=again, billed=False)


def _by_status(status: int, told: "_Told", retry_after: str) -> ApiError:
    if status in (401, 402, 403, 407) or told.code in _OUR_CODES:
        return ApiError(
            502,
            SERVER,
            "upstream_auth",
            "The upstream provider refused the gateway's own account. This is not about your API "
            "key; ask your administrator.",
            headers={"x-should-retry": "false"},
        )
    if status == 429 or told.code in _OUR_LIMITS:
        return _limited(told, retry_after)
    if status in (503, 529):
        return ApiError(
            503,
            SERVER,
            "upstream_overloaded",
            told.sentence("The upstream provider is overloaded."),
            headers={"retry-after": str(_wait(retry_after, most=5))},
        )
    if status in (408, 504, 524):
        return _timeout()
    if 400 <= status < 500 and status != 405:
        status = 400 if status == 422 else status
        return ApiError(
            status,
            told.kind or INVALID,
            told.code,
            told.message or f"The upstream provider refused the request (status {status}).",
            param=told.param,
        )
    return _upstream_error("failed", told)


def _limited(told: "_Told", retry_after: str) -> ApiError:
    seconds = _wait(retry_after, most=59)
    kind = told.kind if told.kind in ("requests", "tokens") else "requests"
    return ApiError(
        429,
        kind,
        "rate_limit_exceeded",
        "The upstream provider limits the gateway's rate right now. Please try again in "
        f"{seconds}s.",
        headers={"retry-after": str(seconds), "retry-after-ms": str(seconds * 1_000)},
    )


def _upstream_error(what: str, told: "_Told | None" = None) -> ApiError:
    sentence = f"The upstream provider {what}."
    message = told.sentence(sentence) if told else sentence
    return ApiError(502, SERVER, "upstream_error", message)


def _timeout() -> ApiError:
    return ApiError(
        504, SERVER, "upstream_timeout", "The upstream provider did not answer in time."
    )


def _wait(retry_after: str, *, most: int) -> int:
    try:
        seconds = int(float(retry_after))
    except (ValueError, OverflowError):
        seconds = 1 + secrets.randbelow(3)
    return min(max(seconds, 1), most)


class _Told:
    """What an error body says, whatever its shape."""

    def __init__(
        self,
        message: str = "",
        kind: str | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        self.message = _CONTROL.sub(" ", message)[:_MOST]
        self.kind = kind
        self.code = code
        self.param = param

    def sentence(self, ours: str) -> str:
        return f"{ours} It says: {self.message}" if self.message else ours

    @classmethod
    def read(cls, body: bytes) -> "_Told":
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            text = body[:_MOST].decode("utf-8", "replace").strip()
            return cls() if not text or text.startswith("<") else cls(text[:200])
        while isinstance(document, list):
            document = document[0] if document else None
        if isinstance(document, str):
            return cls(document)
        return cls._object(document) if isinstance(document, dict) else cls()

    @classmethod
    def _object(cls, document: dict[str, Any]) -> "_Told":
        error = document.get("error") or document.get("errors") or document
        while isinstance(error, list):
            error = error[0] if error else document
        if isinstance(error, str):
            return cls(error)
        if not isinstance(error, dict):
            return cls()
        message = error.get("message", error.get("detail", document.get("message")))
        return cls(
            _text(message),
            _name(error.get("type")),
            _name(error.get("code")),
            _name(error.get("param")),
        )


def _text(message: object) -> str:
    """A message, which may itself be an object or a list."""
    if isinstance(message, str):
        return message
    if isinstance(message, dict):
        return _text(message.get("detail", message.get("message", "")))
    if isinstance(message, list):
        parts = (
            _text(part.get("msg", part)) if isinstance(part, dict) else _text(part)
            for part in message
        )
        return "; ".join(part for part in parts if part)
    return ""


def _name(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _CONTROL.sub(" ", str(value))[:128] or None
