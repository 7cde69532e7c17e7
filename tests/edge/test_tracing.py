"""Traces: a span for each request, to a collector that speaks OTLP; nothing where none is asked."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.edge.wire import Reply, ask, bearer, chat
from tests.edge.world import Member, World

service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    reason="the extra ai-gateway[otel] is not installed",
)

ROOT = Path(__file__).parents[2]
CLIENT_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT_SPAN = "00f067aa0ba902b7"


class Collector:
    """Everything that was exported to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.raw = b""
        self.spans: list[Any] = []


@contextmanager
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            found.raw += body
            for resource in service.ExportTraceServiceRequest.FromString(body).resource_spans:
                found.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join(10)


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        found[one.key] = getattr(one.value, kind)
    return found


def traced_chat(url: str, member: Member, traceparent: str) -> Reply:
    body = {"model": "simulator/echo", "messages": [{"role": "user", "content": "a secret plan"}]}
    headers = {**bearer(member), "traceparent": traceparent}
    return ask(url, "POST", "/v1/chat/completions", json.dumps(body).encode(), headers)


def test_a_request_is_a_span_of_its_clients_trace_and_the_provider_gets_it_on(
    gateway: World,
) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    with collector() as found:
        with gateway.another_edge(otlp_endpoint=found.url, trace_sample=0.0) as url:
            reply = traced_chat(url, member, f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01")
            assert reply.status == 200
        [span] = found.spans
    assert span.trace_id.hex() == CLIENT_TRACE
    assert span.parent_span_id.hex() == CLIENT_SPAN
    [record] = gateway.simulator.witness.records()
    assert record["headers"]["traceparent"] == f"00-{CLIENT_TRACE}-{span.span_id.hex()}-01"
    told = attributes(span)
    assert span.name == "chat simulator/echo"
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "simulator"
    assert told["gen_ai.request.model"] == "simulator/echo"
    assert told["gen_ai.request.stream"] is False
    usage = reply.json["usage"]
    assert told["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert told["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert told["gen_ai.response.time_to_first_chunk"] > 0
    assert told["http.response.status_code"] == 200
    assert told["gateway.request_id"] == reply.headers["x-request-id"]
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert b"secret plan" not in found.raw and member.key.encode() not in found.raw


def test_a_refusal_says_why_and_a_trace_begins_here_where_the_client_has_none(
    gateway: World,
) -> None:
    poor = gateway.member(budget=1)
    with collector() as found:
        with gateway.another_edge(otlp_endpoint=found.url) as url:
            assert chat(url, poor).status == 429
            assert ask(url, "GET", "/healthz").status == 200
        [span] = found.spans
    assert attributes(span)["error.type"] == "insufficient_quota"
    assert span.parent_span_id == b""


@pytest.mark.parametrize("traceparent", ["nonsense", f"00-{'0' * 32}-{CLIENT_SPAN}-01", "é" * 50])
def test_a_traceparent_that_is_none_is_as_if_it_were_not_there(
    gateway: World, traceparent: str
) -> None:
    member = gateway.member()
    with collector() as found:
        with gateway.another_edge(otlp_endpoint=found.url) as url:
            assert traced_chat(url, member, traceparent).status == 200
        [span] = found.spans
    assert span.parent_span_id == b""


def test_a_client_that_wants_no_trace_gets_none_and_its_headers_still_travel(
    gateway: World,
) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    with collector() as found, gateway.another_edge(otlp_endpoint=found.url) as url:
        assert traced_chat(url, member, f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-00").status == 200
    assert found.spans == []
    [record] = gateway.simulator.witness.records()
    assert record["headers"]["traceparent"].startswith(f"00-{CLIENT_TRACE}-")


def test_a_collector_that_is_away_delays_no_request(gateway: World) -> None:
    member = gateway.member()
    with gateway.another_edge(otlp_endpoint="http://127.0.0.1:1") as url:
        assert chat(url, member).status == 200


def test_without_an_endpoint_nothing_of_it_is_loaded_and_nothing_is_passed_on(
    gateway: World,
) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    parent = f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"
    assert traced_chat(gateway.url, member, parent).status == 200
    [record] = gateway.simulator.witness.records()
    assert "traceparent" not in record["headers"]
    look = "import sys, services.edge.__main__; print('opentelemetry' in sys.modules)"
    assert run(look).stdout.strip() == "False"


def test_an_endpoint_without_the_extra_is_a_clear_line_at_the_start() -> None:
    """A None in sys.modules is how Python says that a module is not to be had."""
    hidden = run(
        "import sys; sys.modules['opentelemetry'] = None; import runpy;"
        "runpy.run_module('services.edge', run_name='__main__')",
        GATEWAY_OTLP_ENDPOINT="http://127.0.0.1:4318",
        GATEWAY_SERVICE_TOKEN="s" * 40,
        GATEWAY_EDGE_LISTEN="127.0.0.1:0",
        GATEWAY_EDGE_METRICS_LISTEN="",
    )
    assert hidden.returncode == 2, hidden.stderr
    line = hidden.stderr.splitlines()[-1]
    assert line.startswith("error: GATEWAY_OTLP_ENDPOINT is set, but opentelemetry")
    assert "ai-gateway[otel]" in line


def run(program: str, **told: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | told,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
