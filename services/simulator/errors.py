"""Errors as providers write them."""

from dataclasses import dataclass

import orjson

JSON = "application/json"

_KINDS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("invalid_request_error", "insufficient_balance"),
    403: ("invalid_request_error", None),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    422: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
    503: ("service_unavailable_error", "server_is_overloaded"),
}


@dataclass(eq=False)
class Refused(Exception):
    """A request that OpenAI, or the Cloudflare gateway before it, would refuse."""

    message: str
    status: int = 400
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    style: str = "openai"


def simulated(status: int, message: str | None, type_: str | None, code: str | None) -> Refused:
    """An error somebody asked for, with what OpenAI usually says under ``status``."""
    default_type, default_code = _KINDS.get(status, ("server_error", None))
    return Refused(
        message or f"Simulated failure with status {status}.",
        status,
        type_ or default_type,
        code=code or default_code,
    )


def written(error: Refused, style: str) -> tuple[bytes, str]:
    """Body and content type of ``error`` as the provider ``style`` writes it."""
    match style:
        case "html":
            page = f"<html><head><title>{error.status}</title></head>"
            return f"{page}<body><h1>{error.message}</h1></body></html>\n".encode(), "text/html"
        case "text":
            return error.message.encode(), "text/plain; charset=utf-8"
        case "empty":
            return b"", JSON
        case _:
            return orjson.dumps(_document(error, style)), JSON


def envelope(error: Refused) -> dict[str, object]:
    """The four members of OpenAI's ``error`` object."""
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }


def _document(error: Refused, style: str) -> object:
    match style:
        case "string":
            return {"error": error.message}
        case "detail":
            return {"detail": error.message}
        case "vllm":
            return {"error": envelope(error) | {"type": "BadRequestError", "code": error.status}}
        case "mistral":
            detail = {"detail": [{"type": error.type, "loc": ["body"], "msg": error.message}]}
            return {"object": "error", "message": detail, "type": error.type, "code": error.code}
        case "array":
            return [{"error": {"code": error.status, "message": error.message, "status": "ERROR"}}]
        case "cloudflare" | "cloudflare_rest":
            return _cloudflare(error, "error" if style == "cloudflare" else "errors")
        case _:
            return {"error": envelope(error)}


def _cloudflare(error: Refused, member: str) -> dict[str, object]:
    code = int(error.code) if error.code and error.code.isdecimal() else error.status
    answer = {
        "success": False,
        "result": [],
        "messages": [],
        member: [{"code": code, "message": error.message}],
    }
    if member == "errors":
        return answer
    return answer | {
        "name": "AiGatewayError",
        "httpCode": error.status,
        "internalCode": code,
        "message": error.message,
    }
