"""The head of a request, said again: a client repeats it with every request of a connection, but
for the length of the body. What was read of it once is not read again."""

import re
from typing import Any

from uvicorn._types import HTTPScope

from services.edge.cycle import Header

HEAD = "gateway.head"
"""Where a scope has its Head, if there is one."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})\r\n", re.IGNORECASE)
_LONGEST = 8 << 10
_DIGITS = 16


class Head:
    """A head by its bytes, and the ``scope`` made of it. ``credential`` is the digest of its API
    key, once that was somebody's."""

    __slots__ = ("_after", "_before", "_headers", "_place", "_scope", "credential")

    def __init__(
        self, before: bytes, after: bytes, headers: list[Header], scope: HTTPScope
    ) -> None:
        self._before = before
        self._after = after
        self._headers = headers
        self._place = [name for name, _ in headers].index(b"content-length")
        self._scope: dict[str, Any] = dict(scope)
        self.credential = ""

    def said(self, data: bytes) -> tuple[bytes, int] | None:
        """If ``data`` begins with this head, with whatever length of a body: the length's digits,
        and where the body begins."""
        if not data.startswith(self._before):
            return None
        begin = len(self._before)
        end = data.find(b"\r", begin, begin + _DIGITS)
        digits = data[begin : max(begin, end)]
        if not digits.isdigit() or not data.startswith(self._after, end):
            return None
        return digits, end + len(self._after)

    def scope(self, digits: bytes) -> tuple[Any, list[Header]]:
        """A new scope for this head with that length, and the headers in it."""
        scope, headers = self._scope.copy(), self._headers.copy()
        headers[self._place] = (b"content-length", digits)
        scope["headers"], scope["state"], scope[HEAD] = headers, {}, self
        return scope, headers


def learned(data: bytes, headers: list[Header], scope: HTTPScope) -> Head | None:
    """The head at the beginning of ``data``, which the parser has accepted and read as ``headers``;
    None for one that frames its body by other means than one plain length, or asks for more than an
    answer."""
    size = data.find(b"\r\n\r\n", 0, _LONGEST) + 4
    head = data[:size]
    lines = len(headers) + 2
    if size < 4 or head.count(b"\r\n") != lines or head.count(b"\n") != lines:
        return None
    names = [name for name, _ in headers]
    plain = not any(name in names for name in (b"transfer-encoding", b"expect", b"upgrade"))
    found = _LENGTH.search(head)
    if found is None or not plain or names.count(b"content-length") != 1:
        return None
    return Head(head[: found.start(1)], head[found.end(1) :], headers.copy(), scope)
