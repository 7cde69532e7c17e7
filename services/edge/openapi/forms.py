"""What the operations of the admin API have in common: parameters, bodies, refusals."""

from typing import Any

from services.edge.admin.fields import Field
from services.edge.openapi.operation import ERRORS, Operation, query
from services.edge.openapi.schemas import Schema, ref

_READ = ("400", "401", "403", "404", "422", "429", "500", "503")
_WRITE = (*_READ, "408", "409", "413", "415")

SIZE = query("page_size", "Rows of a page.", {"type": "integer", "minimum": 1, "maximum": 1000})
TOKEN = query("page_token", "`next_page_token` of the page before.", {"type": "string"})
PAGED = (SIZE, TOKEN)
STATUS = query("status", "Only these.", {"type": "string", "enum": ["active", "suspended"]})
KEY_STATUS = query("status", "Only these.", {"type": "string", "enum": ["active", "revoked"]})
EMAIL = query("email", "Only with this address, compared without case.", {"type": "string"})
ORG_ID = query("org_id", "Only this organisation's.", {"type": "string"})
USER_ID = query("user_id", "Only this user's.", {"type": "string"})
MONTH = query(
    "month",
    "`2026-11`; the current one if absent.",
    {"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])$"},
)
SINCE = query("since", "Not before: a day, or a time with its zone.", {"type": "string"})
UNTIL = query("until", "Before: a day, or a time with its zone.", {"type": "string"})
ORDER = query("order", "By time; oldest first if absent.", {"enum": ["asc", "desc"]})
ONLY_COUNT = query(
    "validate_only", "Only count what would go.", {"type": "string", "enum": ["true", "false"]}
)


def formats(*formats: str) -> Schema:
    return query("format", "json is paged, the others are whole.", {"enum": list(formats)})


def body(fields: tuple[Field, ...], *, least: int = 0) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {field.name: field.kind.schema for field in fields},
        "additionalProperties": False,
    }
    required = [field.name for field in fields if field.required]
    if required:
        schema["required"] = required
    if least:
        schema["minProperties"] = least
    return schema


def read(path: str, name: str, summary: str, answer: Schema, tag: str, **more: Any) -> Operation:
    errors = {status: ERRORS[status] for status in sorted(_READ)}
    return Operation("get", path, name, summary, answer, tag, errors=errors, **more)


def write(
    method: str, path: str, name: str, summary: str, answer: str, tag: str, **more: Any
) -> Operation:
    errors = {status: ERRORS[status] for status in sorted(_WRITE)}
    return Operation(
        method, path, name, summary, ref(answer), tag, errors=errors, idempotent=True, **more
    )
