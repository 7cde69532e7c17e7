"""The description is valid, complete and true."""

import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from services.edge.admin import translate
from services.edge.openapi.document import document, operations
from services.edge.openapi.routes import openapi_routes
from tests.edge_admin.test_border import mounted

DOCUMENT = document()


def test_the_description_is_openapi_31() -> None:
    problems = [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]
    assert (DOCUMENT["openapi"], problems) == ("3.1.0", [])


def test_every_admin_route_is_described_and_every_description_has_a_route() -> None:
    described = {
        (method.upper(), path)
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if path.startswith("/admin")
    }
    assert described == set(mounted())


def test_names_of_operations_are_unique() -> None:
    names = [operation.name for operation in operations()]
    assert len(set(names)) == len(names)


def test_every_refusal_has_the_envelope_and_every_admin_operation_needs_a_key() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for told in methods.values():
            for status, answer in told["responses"].items():
                if status >= "400":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Error"}
            if path.startswith("/admin"):
                assert told["security"] == [{"AdminKey": []}]


def check(name: str, told: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(told)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Organization", translate.organization(admin_pb2.Organization())),
        ("User", translate.user(admin_pb2.User())),
        ("ApiKey", translate.api_key(admin_pb2.ApiKey())),
        ("NewApiKey", translate.new_api_key(admin_pb2.CreateApiKeyResponse())),
        ("ProviderKey", translate.provider_key(admin_pb2.ProviderKey())),
        ("AdminKey", translate.admin_key(admin_pb2.AdminKey())),
        ("AuditEntry", translate.audit_entry(admin_pb2.AuditEntry(before='{"a":1}'))),
        ("JournalEntry", translate.journal_entry(quota_pb2.JournalEntry())),
        ("Usage", translate.usage(quota_pb2.Usage(limit_nano_usd=1))),
        ("TopUser", translate.top_user(quota_pb2.TopUser())),
    ],
)
def test_resources_are_answered_as_described(name: str, told: Any) -> None:
    check(name, told)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


async def test_the_page_needs_nothing_from_anywhere_and_names_every_path() -> None:
    transport = httpx.ASGITransport(app=Starlette(routes=openapi_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as http:
        machine = await http.get("/openapi.json")
        page = await http.get("/docs")
    assert machine.json() == DOCUMENT
    found = _Links()
    found.feed(page.text)
    assert found.addresses == ["/openapi.json"]
    assert not found.tags & {"script", "img", "iframe", "link"}
    assert [path for path in DOCUMENT["paths"] if f"<code>{path}</code>" not in page.text] == []
    policy = page.headers["content-security-policy"]
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[^']+'; .*", policy)
    assert "unsafe" not in policy
