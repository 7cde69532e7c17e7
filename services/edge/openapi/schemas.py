"""What answers look like. Every field is always there; what has no value is null."""

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
USD: Schema = {
    "type": "string",
    "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?$",
    "description": "US dollars, exact to the nano-dollar.",
    "examples": ["0.000123456"],
}
STRINGS: Schema = {"type": "array", "items": STRING}
STATUS: Schema = {"type": "string", "enum": ["active", "suspended"]}
KEY_STATUS: Schema = {"type": "string", "enum": ["active", "revoked"]}


def nullable(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"oneOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def record(**fields: Schema) -> Schema:
    """An object with exactly these fields."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def listing(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def page_of(name: str) -> Schema:
    token = nullable(STRING) | {"description": "The next page's `page_token`; null on the last."}
    return record(data=listing(ref(name)), next_page_token=token)


ERROR = record(
    error=record(
        message=STRING,
        type=STRING,
        param=nullable(STRING),
        code=nullable(STRING),
    )
)
