"""A browser without a screen: what a person at the console sends and gets."""

import html
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.edge.console.session import COOKIE

_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass
class Browser:
    """Keeps the cookie; sends forms as the pages made them, with what a browser says of itself."""

    url: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(self.url + path, **options)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        told = {"origin": self.url, "sec-fetch-site": "same-origin"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.http.post(self.url + path, data=fields, headers=told)

    def sign_in(self, key: str) -> httpx.Response:
        return self.post("/console/sign-in", {"key": key})

    def form(self, path: str) -> dict[str, str]:
        """The hidden fields of a form's page."""
        page = self.get(path)
        assert page.status_code == 200, page.text
        return hidden(page.text)

    def send(self, path: str, **fields: str) -> httpx.Response:
        """Open a form and send it filled in."""
        return self.post(path, self.form(path) | fields)

    @property
    def cookie(self) -> str:
        return self.http.cookies.get(COOKIE) or ""


def hidden(page: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(page)}
