"""What is counted, and that clients cannot write into it."""

import socket

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.edge.metrics import EdgeMetrics
from tests.edge.wire import ask, chat
from tests.edge.world import World


@pytest.fixture
def counted() -> tuple[EdgeMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return EdgeMetrics(registry), registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    found = registry.get_sample_value(name, labels)
    return -1.0 if found is None else found


def test_a_call_is_counted_with_its_tokens_and_times(
    counted: tuple[EdgeMetrics, CollectorRegistry],
) -> None:
    metrics, registry = counted
    facts = {
        "operation": "chat",
        "provider": "openai",
        "input_tokens": 10,
        "output_tokens": 3,
        "first_byte_ms": 20.0,
    }
    metrics.finished(200, facts, 0.5)
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai"}
    count = "gen_ai_client_token_usage_sum"
    assert value(registry, count, **labels, gen_ai_token_type="input") == 10
    assert value(registry, count, **labels, gen_ai_token_type="output") == 3
    assert value(registry, "gen_ai_server_request_duration_seconds_sum", **labels) == 0.5
    assert value(registry, "gen_ai_server_time_to_first_token_seconds_sum", **labels) == 0.02
    request = {"operation": "chat", "provider": "openai", "status": "200", "refused": ""}
    assert value(registry, "gateway_requests_total", **request) == 1


def test_e6_an_upstreams_code_is_no_label(counted: tuple[EdgeMetrics, CollectorRegistry]) -> None:
    metrics, registry = counted
    metrics.finished(400, {"operation": "chat", "refused": 'canary"} 1\n'}, 0.1)
    metrics.upstream_failed("openai", "canary")
    assert b"canary" not in generate_latest(registry)


def test_e6_what_clients_write_is_in_no_label(gateway: World) -> None:
    member = gateway.member()
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with gateway.another_edge(metrics_listen=listen) as url:
        for model in ("simulator/canary", "canary", "simulator/echo"):
            chat(url, member, model=model)
        ask(url, "GET", "/canary")
        text = ask(f"http://{listen}", "GET", "/metrics").body.decode()
    told = 'operation="chat",provider="simulator",refused="",status="200"'
    assert f"gateway_requests_total{{{told}}} 1.0" in text
    assert "canary" not in text
    for secret in (member.key, member.org, member.user, member.key_id):
        assert secret not in text
