"""The admin API of a whole gateway, as an operator's program calls it."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.edge.world import ADMIN_KEY


@dataclass
class Rest:
    """``rest("GET", "/users")`` is the answer to ``GET /admin/users``."""

    url: str
    key: str = ADMIN_KEY
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))
    address: str = "127.0.0.1"
    _others: list["Rest"] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(
            method,
            f"{self.url}/admin{path}",
            json=body,
            headers={"authorization": f"Bearer {self.key}"} | named,
        )

    def good(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer that has to be a success."""
        answer = self(method, path, body, **headers)
        assert answer.is_success, answer.text
        return answer.json()

    def with_key(self, key: str) -> "Rest":
        """Somebody else, at an address of their own: wrong keys are counted by address."""
        address = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
        transport = httpx.HTTPTransport(local_address=address)
        made = Rest(self.url, key, httpx.Client(timeout=20, transport=transport), address)
        self._others.append(made)
        return made

    def close(self) -> None:
        for one in self._others:
            one.close()
        self.http.close()

    def chat(self, api_key: str, text: str = "Hello") -> httpx.Response:
        """One request of a key holder."""
        body = {
            "model": "simulator/echo",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 50,
        }
        headers = {"authorization": f"Bearer {api_key}"}
        return self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)

    def family(self, **user: Any) -> dict[str, str]:
        """A new organisation with a user and a key: their ids, and ``api_key``."""
        org = self.good("POST", "/organizations", {"name": "Family", "monthly_budget_usd": "100"})[
            "org_id"
        ]
        body = {"email": f"{secrets.token_hex(6)}@example.com", "monthly_limit_usd": "50", **user}
        user_id = self.good("POST", "/users", {**body, "org_id": org})["user_id"]
        key = self.good("POST", f"/users/{user_id}/api-keys", {"name": "first"})
        return {
            "org_id": org,
            "user_id": user_id,
            "key_id": key["key_id"],
            "api_key": key["api_key"],
            "email": body["email"],
        }
