"""One operation of the API, and how it is written in OpenAPI."""

import re
from dataclasses import dataclass, field
from typing import Any

from services.edge.openapi.schemas import Schema, ref

ERRORS = {
    "400": "The request is not one JSON document, or holds a header twice.",
    "401": "The key is missing or wrong.",
    "403": "The key is good but may not do this.",
    "404": "Unknown, or not yours to see.",
    "408": "The body did not arrive in time.",
    "409": "It exists already, its state does not allow this, or the Idempotency-Key was used "
    "with another request.",
    "413": "The body is too large.",
    "415": "The body is not application/json, or is compressed.",
    "422": "A value is wrong; `param` names it.",
    "429": "Too many wrong keys from this address.",
    "500": "A failure of ours; the log has it under the request id.",
    "503": "auth or quota cannot answer at the moment; try again.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """``answer`` is the schema of the success ``status``; ``formats`` are further media types of
    it; ``errors`` are the statuses it can refuse with, by meaning."""

    method: str
    path: str
    name: str
    summary: str
    answer: Schema | None
    tag: str
    status: str = "200"
    body: Schema | None = None
    body_required: bool = True
    body_type: str = "application/json"
    query: tuple[Schema, ...] = ()
    formats: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)
    description: str = ""
    public: bool = False
    idempotent: bool = False

    def described(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "operationId": self.name,
            "summary": self.summary,
            "tags": [self.tag],
            "responses": self._responses(),
        }
        if self.description:
            told["description"] = self.description
        parameters = [*(_path(name) for name in self.path_names()), *self.query]
        if self.idempotent:
            parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
        if parameters:
            told["parameters"] = parameters
        if self.body is not None:
            told["requestBody"] = {
                "required": self.body_required,
                "content": {self.body_type: {"schema": self.body}},
            }
        if self.public:
            told["security"] = []
        return told

    def path_names(self) -> list[str]:
        return re.findall(r"{([a-z_]+)", self.path)

    def _responses(self) -> dict[str, Any]:
        content: dict[str, Any] = {}
        if self.answer is not None:
            content["application/json"] = {"schema": self.answer}
        for media_type in self.formats:
            content[media_type] = {"schema": {"type": "string"}}
        success = {"description": "Done.", "headers": _HEADERS}
        if content:
            success["content"] = content
        return {
            self.status: success,
            **{status: refusal(text) for status, text in self.errors.items()},
        }


_HEADERS = {
    "x-request-id": {
        "description": "Under this id the logs know the request.",
        "schema": {"type": "string"},
    }
}


def refusal(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "headers": _HEADERS,
        "content": {"application/json": {"schema": ref("Error")}},
    }


def query(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
