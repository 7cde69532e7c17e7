"""Whatever is sent to the admin API: no 5xx, no status and no answer that is not described.

And the route table of the whole edge: all of it described, all of it behind a key.
"""

from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from services.edge.app import build
from services.edge.elsewhere import REASONS
from services.edge.openapi.document import document
from tests.edge.world import World
from tests.edge_admin.rest import Rest
from tests.edge_admin.test_border import PATHS, mounted

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = 8


@pytest.fixture
def thing(rest: Rest) -> dict[str, str]:
    """Something real to read, change and delete."""
    return rest.family()


described = schemathesis.openapi.from_dict(document())
admin = described.include(path_regex="^/admin")


@admin.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@pytest.mark.timeout(60)
def test_every_answer_is_as_described(
    case: schemathesis.Case, rest: Rest, thing: dict[str, str]
) -> None:
    known = {**thing, "provider": "openai", "admin_key_id": "admin_nobody"}
    for name in case.path_parameters or {}:
        case.path_parameters[name] = known[name]
    headers = {"authorization": f"Bearer {rest.key}"}
    case.call_and_validate(base_url=rest.url, headers=headers, checks=CHECKS, timeout=20)


OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs"}
"""A1: every route that answers without a key. A new one has to be added here, or to be guarded."""


def paths() -> set[str]:
    """Every path of the data plane, as the edge mounts it, without the alias that lacks /v1 and
    without those that are there to be refused with the reason."""
    app: Any = build(MagicMock(), MagicMock(), MagicMock(), MagicMock())
    routes = app._rest.routes
    offered = {route.path for route in routes if isinstance(route, Route)}
    offered -= {f"{prefix}{path}" for path in REASONS for prefix in ("", "/v1")}
    found = {path.replace(":path}", "}") for path in offered}
    aliases = {path for path in found if f"/v1{path}" in found}
    return found - aliases


DATA_PLANE = paths()


def test_every_route_of_the_edge_is_described_and_every_description_has_a_route() -> None:
    known = {path for path in document()["paths"] if not path.startswith("/admin")}
    assert known == DATA_PLANE - {"/docs"}, "describe it in services/edge/openapi/data_plane.py"


@pytest.mark.parametrize("path", sorted(DATA_PLANE))
def test_a1_only_the_listed_routes_answer_without_a_key(gateway: World, path: str) -> None:
    address = gateway.url + path.format(model="simulator/echo")
    told = document()["paths"].get(path, {"get": {}})
    for method in told:
        body: Any = {} if method == "post" else None
        answer = httpx.request(method, address, json=body, timeout=20)
        assert answer.status_code == (200 if path in OPEN else 401), answer.text


@pytest.mark.parametrize(("method", "path"), mounted())
def test_a1_no_admin_route_of_the_edge_answers_without_a_key(
    gateway: World, method: str, path: str
) -> None:
    answer = httpx.request(method, gateway.url + path.format(**PATHS), timeout=20)
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"].startswith("req_")


def test_paths_nobody_has_are_404_in_the_envelope(rest: Rest) -> None:
    for path in ("/nothing", "/organizations/org_a/nothing", "/users/a/b/c/d"):
        answer = rest("GET", path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (
            404,
            "invalid_request_error",
        )
    assert rest("PUT", "/users", {}).status_code == 405
