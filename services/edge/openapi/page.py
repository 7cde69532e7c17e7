"""The description as one page for people: no script, no request to anywhere."""

import base64
import hashlib
from html import escape
from typing import Any

Row = tuple[str, str, dict[str, Any]]
"""A name, what it is, its schema."""

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent);
  --soft: color-mix(in srgb, currentColor 65%, transparent); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 0 auto;
  padding: 2rem 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
details { border-top: 1px solid var(--line); } summary { padding: .55rem 0; cursor: pointer; }
summary code { overflow-wrap: anywhere; } summary span { color: var(--soft); }
b { display: inline-block; min-width: 4rem; font: 600 .8rem ui-monospace, monospace; }
code, pre { font: .88rem ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 1rem; }
td { padding: .2rem .8rem .2rem 0; vertical-align: top; border-top: 1px solid var(--line); }
td:first-child { white-space: nowrap; } .inside { padding: 0 0 1rem 1rem; }
h3 { font-size: .8rem; margin: .8rem 0 0; color: var(--soft); font-weight: 600; }
"""


def policy() -> str:
    """The Content-Security-Policy of the page: this style and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def page(document: dict[str, Any]) -> str:
    info = document["info"]
    sections = [_section(document, tag["name"]) for tag in document["tags"]]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}: API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}</h1><p>{_text(info['description'])}</p>"
        '<p><a href="/openapi.json">openapi.json</a> (OpenAPI 3.1)</p>'
        f"{''.join(sections)}</body></html>"
    )


def _section(document: dict[str, Any], tag: str) -> str:
    found = [
        _operation(method, path, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
        if tag in told["tags"]
    ]
    return f"<h2>{escape(tag)}</h2>{''.join(found)}"


def _operation(method: str, path: str, told: dict[str, Any]) -> str:
    parts = [f"<p>{_text(told['description'])}</p>"] if "description" in told else []
    parameters = [p for p in told.get("parameters", ()) if p.get("in") == "query"]
    parts.append(_table("Query", [(p["name"], p["description"], p["schema"]) for p in parameters]))
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = body.get("schema", {})
    required = schema.get("required", ())
    fields = [
        (name + (" *" if name in required else ""), each.get("description", ""), each)
        for name, each in schema.get("properties", {}).items()
    ]
    parts.append(_table("Body (* required)", fields))
    answers: list[Row] = [
        (code, each["description"], {}) for code, each in told["responses"].items()
    ]
    parts.append(_table("Answers", answers))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> "
        f"<span>{escape(told['summary'])}</span></summary>"
        f'<div class="inside">{"".join(parts)}</div></details>'
    )


def _table(title: str, rows: list[Row]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_text(text)} {_kind(schema)}</td></tr>"
        for name, text, schema in rows
    )
    return f"<h3>{escape(title)}</h3><table>{cells}</table>"


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"])
    types = schema.get("type", "")
    return f"<i>{escape(' | '.join(types) if isinstance(types, list) else types)}</i>"


def _text(text: str) -> str:
    """Prose, with what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
