"""Query strings, as strict as bodies: each parameter known, once, and of its kind."""

import re
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request

from services.common.paging import MAX_SIZE
from services.edge.admin.kinds import TIME
from services.edge.admin.refusal import unknown, unprocessable

_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")


class Query:
    """The parameters of one request. ``known`` are all that the route understands."""

    def __init__(self, request: Request, *known: str) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise unknown(name, "query parameter", list(known))
            if name in self._values:
                raise unprocessable(name, "must be given once")
            self._values[name] = value

    def text(self, name: str) -> str:
        value = self._values.get(name, "")
        if len(value) > 1_000 or not value.isprintable():
            raise unprocessable(name, "must be printable text of at most 1000 characters")
        return value

    def size(self, default: int = 0) -> int:
        """``page_size``; ``default`` when absent."""
        value = self._values.get("page_size")
        if value is None:
            return default
        if not (value.isascii() and value.isdigit()) or not 1 <= int(value[:9]) <= MAX_SIZE:
            raise unprocessable("page_size", f"must be 1 to {MAX_SIZE}")
        return int(value)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of ``choices``, the first of them when absent."""
        value = self._values.get(name, choices[0])
        if value not in choices:
            raise unprocessable(name, "must be one of: " + ", ".join(c or '""' for c in choices))
        return value

    def flag(self, name: str) -> bool:
        return self.choice(name, ("false", "true")) == "true"

    def month(self) -> str:
        """``month`` as ``2026-11``; empty, the current one, when absent."""
        value = self._values.get("month")
        if value is not None and not _MONTH.fullmatch(value):
            raise unprocessable("month", 'must be a month, for example "2026-11"')
        return value or ""

    def time(self, name: str) -> Timestamp | None:
        """A day (its beginning, UTC) or a time with its zone."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            day = datetime.strptime(value, "%Y-%m-%d").date()
            value = f"{day.isoformat()}T00:00:00Z"
        except ValueError:
            # A plus sign in a query is a space when it was not escaped.
            value = value.replace(" ", "+")
        try:
            stamp: Timestamp = TIME.read(value)
        except ValueError:
            raise unprocessable(
                name, 'must be a day or a time with its zone, for example "2026-11-23T15:00:00Z"'
            ) from None
        return stamp

    def words(self, name: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        """Several of ``choices``, separated by commas."""
        value = self._values.get(name, "")
        found = tuple(word for word in value.split(",") if word)
        for word in found:
            if word not in choices:
                raise unprocessable(name, "must be some of: " + ", ".join(choices))
        if len(set(found)) != len(found):
            raise unprocessable(name, "must not repeat a word")
        return found
