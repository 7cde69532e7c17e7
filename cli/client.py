"""HTTP to the gateway: each answer that is no success becomes a Failure of one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from cli.failure import NO_ACCESS, NOT_FOUND, REFUSED, UNREACHABLE, Failure

Json = dict[str, Any]

_SECONDS = httpx.Timeout(70.0, connect=5.0)
_ANSWER_SECONDS = httpx.Timeout(600.0, connect=5.0)
_PAGE = 200


class Client:
    """One gateway, one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {key}", "user-agent": "gw"},
            timeout=_SECONDS,
            trust_env=False,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *raised: object) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Json:
        return self._send("GET", path, query=query)

    def post(self, path: str, body: Json | None = None) -> Json:
        return self._send("POST", path, body=body or {})

    def put(self, path: str, body: Json) -> Json:
        return self._send("PUT", path, body=body)

    def patch(self, path: str, body: Json) -> Json:
        return self._send("PATCH", path, body=body)

    def delete(self, path: str, **query: Any) -> Json:
        return self._send("DELETE", path, query=query)

    def each(self, path: str, *, limit: int = 0, **query: Any) -> Iterator[Json]:
        """The rows of a list, page after page; at most ``limit`` of them unless it is 0."""
        token, left = "", limit
        while True:
            size = min(left, _PAGE) if limit else _PAGE
            page = self.get(path, page_size=size, page_token=token, **query)
            rows = page["data"][:left] if limit else page["data"]
            yield from rows
            left -= len(rows)
            token = page["next_page_token"] or ""
            if not token or (limit and left <= 0):
                return

    @contextmanager
    def stream(
        self, method: str, path: str, *, body: Json | None = None, **query: Any
    ) -> Iterator[httpx.Response]:
        """An answer that is read as it comes."""
        with _reachable(self.url):
            request = self._http.build_request(
                method, path, json=body, params=_clean(query), timeout=_ANSWER_SECONDS
            )
            answer = self._http.send(request, stream=True)
            try:
                if answer.is_error:
                    answer.read()
                _require_success(answer)
                yield answer
            finally:
                answer.close()

    def _send(
        self, method: str, path: str, *, body: Json | None = None, query: Json | None = None
    ) -> Json:
        with _reachable(self.url):
            answer = self._http.request(method, path, json=body, params=_clean(query or {}))
        _require_success(answer)
        try:
            told = answer.json()
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise Failure(f"{self.url} does not answer like the gateway; is it one?", UNREACHABLE)
        return told


def segment(text: str) -> str:
    """What a person typed, as one segment of a path."""
    return quote(text, safe="")


def _clean(query: Json) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value not in (None, "")}


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError:
        raise Failure(f"cannot reach the gateway at {url}: is it running?", UNREACHABLE) from None
    except httpx.TimeoutException:
        raise Failure(f"the gateway at {url} does not answer in time", UNREACHABLE) from None
    except httpx.RemoteProtocolError:
        raise Failure("the gateway broke off before the end", UNREACHABLE) from None
    except httpx.HTTPError as error:
        raise Failure(f"no answer from {url}: {error}", UNREACHABLE) from None


def _require_success(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    status = answer.status_code
    codes = {401: NO_ACCESS, 403: NO_ACCESS, 404: NOT_FOUND}
    code = codes.get(status, UNREACHABLE if status >= 500 else REFUSED)
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = "no further explanation"
    printable = "".join(letter if letter.isprintable() else " " for letter in message)
    raise Failure(f"{printable} (HTTP {status})", code)
