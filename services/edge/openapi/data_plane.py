"""The routes of key holders: OpenAI's, and what the gateway adds to them."""

from dataclasses import replace

from services.edge.openapi.operation import ERRORS, Operation
from services.edge.openapi.schemas import BOOLEAN, STRING, Schema

_ANY: Schema = {"type": "object"}
_MESSAGE: Schema = {
    "type": "object",
    "required": ["role"],
    "properties": {"role": STRING, "content": {}},
}
_CAP: Schema = {"type": ["integer", "null"], "minimum": 1}
_REFUSALS = {
    "400": "A parameter is wrong; `param` names it.",
    "401": "The API key is missing or wrong.",
    "403": "The user or the organisation is suspended.",
    "404": "The model is unknown, or not yours to use.",
    "408": ERRORS["408"],
    "409": "The request id was used before with another request.",
    "413": ERRORS["413"],
    "415": ERRORS["415"],
    "429": "The budget is used up (`insufficient_quota`, do not retry), held by running requests "
    "(`budget_held`), or a rate limit is reached; `retry-after` says when waiting helps.",
    "500": ERRORS["500"],
    "502": "The provider failed, or refused the gateway's credential.",
    "503": "auth or quota cannot decide at the moment, or the provider is overloaded.",
    "504": "The provider did not answer in time.",
}
_NOTE = (
    "As in OpenAI's API; fields that the gateway does not know pass to the provider as they are, "
    "and its answer comes back byte for byte. The provider's own refusals keep their status."
)
_READ_REFUSALS = {status: _REFUSALS[status] for status in ("401", "404", "429", "500", "503")}


_STREAMED = ("chat/completions", "responses", "completions")


def data_plane() -> list[Operation]:
    messages: Schema = {"type": "array", "minItems": 1, "items": _MESSAGE}
    return [
        _ask(
            "chat/completions", "createChatCompletion", "Chat, whole or streamed", messages=messages
        ),
        _ask("responses", "createResponse", "The Responses API", input={}),
        _ask("completions", "createCompletion", "Plain completion", prompt={}),
        _ask("embeddings", "createEmbedding", "Embeddings", input={}),
        _ask("moderations", "createModeration", "Moderation, where offered", input={}),
        _ask(
            "images/generations", "createImage", "Images, where offered", prompt={"type": "string"}
        ),
        _form("images/edits", "createImageEdit", "Images changed, where offered", "image"),
        _form(
            "images/variations", "createImageVariation", "Images like it, where offered", "image"
        ),
        _speech(),
        _form(
            "audio/transcriptions", "createTranscription", "Speech as text, where offered", "file"
        ),
        _form(
            "audio/translations", "createTranslation", "Speech to English, where offered", "file"
        ),
        _read("/v1/models", "listModels", "The models this key may use", _ANY),
        _read("/v1/models/{model}", "getModel", "One model; its id may hold slashes", _ANY),
        _read("/v1/usage", "getOwnUsage", "The caller's own limits, spend and holds", _ANY),
        _probe("/healthz", "isAlive", "Whether the process runs"),
        _probe("/readyz", "isReady", "Whether requests can be served"),
        _probe("/openapi.json", "getOpenApi", "This description"),
    ]


def _ask(path: str, name: str, summary: str, **required: Schema) -> Operation:
    body: Schema = {
        "type": "object",
        "required": ["model", *required],
        "properties": {
            "model": STRING
            | {"description": "`provider/model`, or a bare name of the default provider."},
            "stream": BOOLEAN,
            "max_tokens": _CAP,
            **required,
        },
    }
    return Operation(
        "post",
        f"/v1/{path}",
        name,
        summary,
        _ANY,
        "Models",
        body=body,
        formats=("text/event-stream",) if path in _STREAMED else (),
        errors=_REFUSALS,
        description=_NOTE,
    )


def _speech() -> Operation:
    made = _ask("audio/speech", "createSpeech", "Text as speech, where offered", input=STRING)
    return replace(made, formats=("audio/mpeg", "audio/wav", "text/event-stream"))


def _form(path: str, name: str, summary: str, file: str) -> Operation:
    made = _ask(path, name, summary, **{file: {"type": "string", "format": "binary"}})
    formats = ("text/plain", "text/event-stream") if file == "file" else ()
    return replace(made, body_type="multipart/form-data", formats=formats)


def _read(path: str, name: str, summary: str, answer: Schema) -> Operation:
    return Operation("get", path, name, summary, answer, "Models", errors=_READ_REFUSALS)


def _probe(path: str, name: str, summary: str) -> Operation:
    errors = {"503": "Not now."} if path == "/readyz" else {}
    return Operation("get", path, name, summary, _ANY, "Service", errors=errors, public=True)
