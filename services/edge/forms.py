"""Forms with files (multipart/form-data), read strictly and written anew, so that the provider sees
what policy saw: no part that is hidden, doubled or spelled for another parser. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from services.edge.catalog import Target
from services.edge.errors import ApiError, invalid
from services.edge.hold import Hold
from services.edge.openai import KNOWN, ROUTING, Ask

MAX_PARTS = 128
MAX_HEAD = 4 << 10
MAX_TEXT = 1 << 20
"""Bytes of one field that is no file."""

_BOUNDARY = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\n")
_NAME = re.compile(r"[a-z_]{1,64}(\[[a-z_]{0,64}\])?")
_DISPOSITION = re.compile(
    r'form-data((?:\s*;\s*[a-z]+\*?=(?:"(?:[^"\\]|\\.)*+"|[^\s";]++))++)\s*', re.I
)
_PARAMETER = re.compile(r';\s*([a-z]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))', re.I)
_KIND = re.compile(r"[A-Za-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,64}(;[ A-Za-z0-9.+=-]{0,64})?")
_UNSAFE = re.compile(r'[^\w .()+@~-]|["\\]')


@dataclass(frozen=True, slots=True)
class Part:
    """A field; with a ``filename`` it is a file, of media type ``kind``."""

    name: str
    content: bytes
    filename: str | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    boundary: bytes
    parts: tuple[Part, ...]

    @property
    def media_type(self) -> bytes:
        return b"multipart/form-data; boundary=" + self.boundary

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that are text, by name."""
        return {p.name: p.content.decode() for p in self.parts if p.filename is None}

    def files(self, name: str) -> list[Part]:
        """Those called ``name`` or ``name[]``."""
        return [p for p in self.parts if p.filename is not None and p.name in (name, f"{name}[]")]

    def encode(self, changes: Mapping[str, str]) -> bytes:
        """The body, with fields that it has set to other values."""
        pieces: list[bytes] = []
        for part in self.parts:
            if part.filename is None and part.name in changes:
                part = replace(part, content=changes[part.name].encode())
            pieces += b"--", self.boundary, b"\r\n", _head(part), part.content, b"\r\n"
        return b"".join([*pieces, b"--", self.boundary, b"--\r\n"])


def read_form(raw: bytes) -> Form:
    """The form in a body. Raises ApiError 400."""
    found = _BOUNDARY.match(raw)
    if found is None:
        raise _malformed("it does not begin with a boundary")
    boundary = found[1]
    pieces = raw[len(boundary) + 2 :].split(b"\r\n--" + boundary)
    end = pieces.pop()
    if end not in (b"--", b"--\r\n") or not pieces:
        raise _malformed("it has no end")
    if len(pieces) > MAX_PARTS:
        raise _malformed(f"it has more than {MAX_PARTS} parts")
    parts = tuple(map(_part, pieces))
    names = [part.name for part in parts if not part.name.endswith("[]")]
    for name in names:
        if names.count(name) > 1:
            raise invalid(
                f"'{name}' is given more than once.", param=name, code="duplicate_parameter"
            )
    return Form(boundary, parts)


def form_body(ask: Ask, target: Target, _: Hold) -> bytes:
    """The form that came, with the model's name at the provider."""
    form: Form = ask.form
    return form.encode({"model": target.upstream_model})


def _part(piece: bytes) -> Part:
    head, blank, content = piece.partition(b"\r\n\r\n")
    if not head.startswith(b"\r\n") or not blank or len(head) > MAX_HEAD:
        raise _malformed("a part has no head, or one that is too long")
    try:
        lines = head[2:].decode().split("\r\n")
    except UnicodeDecodeError:
        raise _malformed("a part's head is no UTF-8") from None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name.lower() in headers:
            raise _malformed("a part's head cannot be read")
        headers[name.lower()] = value.strip()
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise _malformed("a part is encoded")
    told = _DISPOSITION.fullmatch(headers.get("content-disposition", ""))
    if told is None:
        raise _malformed("a part has no content-disposition of a form")
    return _named(_parameters(told[1]), headers.get("content-type", ""), content)


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(text):
        if name.lower() in found:
            raise _malformed("a part says something twice")
        found[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
    return found


def _named(told: dict[str, str], kind: str, content: bytes) -> Part:
    name = told.get("name", "")
    if not _NAME.fullmatch(name):
        folded = name.casefold()
        if folded in KNOWN:
            raise invalid(
                f"Unknown parameter: '{name}'. Did you mean '{folded}'?",
                param=name[:64],
                code="unknown_parameter",
            )
        raise _malformed("a part has no name, or an odd one")
    if name in ROUTING:
        raise invalid(f"Unsupported parameter: '{name}'.", param=name, code="unsupported_parameter")
    filename = told.get("filename")
    if "filename*" in told:
        filename = unquote(told["filename*"].rpartition("'")[2])
    if filename is not None:
        safe = _UNSAFE.sub("_", filename)[-128:] or "file"
        return Part(name, content, safe, kind if _KIND.fullmatch(kind) else "")
    if len(content) > MAX_TEXT:
        raise invalid(f"'{name}' is too long.", param=name, code="string_above_max_length")
    try:
        content.decode()
    except UnicodeDecodeError:
        raise invalid(f"'{name}' is no UTF-8.", param=name, code="invalid_type") from None
    return Part(name, content)


def _head(part: Part) -> bytes:
    lines = f'Content-Disposition: form-data; name="{part.name}"'
    if part.filename is not None:
        lines += f'; filename="{part.filename}"'
        lines += f"\r\nContent-Type: {part.kind or 'application/octet-stream'}"
    return f"{lines}\r\n\r\n".encode()


def _malformed(why: str) -> ApiError:
    return invalid(f"We could not read the form in your request: {why}.", code="invalid_form")
