"""Dashboards and alerts speak of metrics, labels and values that exist."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from gateway.auth.v1 import admin_pb2 as auth_admin_pb2
from gateway.auth.v1 import auth_pb2
from gateway.errors.v1 import error_reason_pb2
from gateway.quota.v1 import admin_pb2 as quota_admin_pb2
from gateway.quota.v1 import quota_pb2
from services.common.metrics import RpcMetrics, expose, new_registry
from services.edge.metrics import EdgeMetrics
from services.quota.sweeper import Sweeper

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "gateway.json"
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"

PROMETHEUS_OWN = {"job", "instance", "le"}
JOBS = {"edge", "auth", "quota"}


def exposed() -> CollectorRegistry:
    """A registry with everything that edge, auth and quota expose, each used once."""
    registry = new_registry()
    edge = EdgeMetrics(registry)
    edge.watch(lambda: 0, lambda: 0)
    facts: dict[str, object] = {"operation": "chat", "provider": "openai", "first_byte_ms": 1}
    edge.finished(200, {**facts, "input_tokens": 1, "output_tokens": 1}, 0.1)
    edge.settled("booked")
    edge.outages.watch(lambda: True, lambda: False)
    edge.outages.grace.labels("admitted").inc()
    edge.upstream_failures.labels("openai", "upstream_error").inc()
    rpc = RpcMetrics(registry)
    calls = rpc.of("/gateway.quota.v1.QuotaService/ReserveQuota")
    calls.end(calls.begin())
    calls.succeed()
    unused: Any = None
    Sweeper(unused, unused, seconds=1, clock=lambda: 0, registry=registry)
    expose(registry, "", certificate="nowhere.crt")
    return registry


def labels_by_metric() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"up": set()}
    for family in exposed().collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


METRICS = labels_by_metric()
RPCS = {
    f"/{service.full_name}/{rpc.name}"
    for file in (auth_pb2, auth_admin_pb2, quota_pb2, quota_admin_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for rpc in service.methods
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


QUERIES = {
    **{rule["alert"]: rule["expr"] for rule in rules()},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    },
}


def metrics_of(query: str) -> dict[str, list[tuple[str, str, str]]]:
    """The metrics a query names, with their matchers: (label, operator, value)."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    name = r"\b(up|(?:gateway|gen_ai|process|python)_[a-z_]*[a-z])\b"
    pattern = name + r"(\{[^}]*\})?(?=\s*[\[)/>}=]|\s|$)"
    for metric, matchers in re.findall(pattern, re.sub(r"\b(by|without) \([^)]*\)", "", query)):
        told = re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers)
        found.setdefault(metric, []).extend(told)
    return found


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_names_metrics_and_labels_that_exist(name: str) -> None:
    query = QUERIES[name]
    named = metrics_of(query)
    assert named, query
    for metric, matchers in named.items():
        assert metric in METRICS, f"{metric} is exposed by nobody"
        unknown = {label for label, _, _ in matchers} - METRICS[metric] - PROMETHEUS_OWN
        assert unknown == set(), f"{metric} has no such label"
    grouped = {
        label.strip()
        for _, labels in re.findall(r"\b(by|without) \(([^)]*)\)", query)
        for label in labels.split(",")
    }
    known = set().union(*(METRICS[metric] for metric in named)) | PROMETHEUS_OWN
    assert grouped <= known


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_compares_with_values_that_occur(name: str) -> None:
    spelled = error_reason_pb2.ErrorReason.keys()
    reasons = {name.removeprefix("ERROR_REASON_") for name in spelled} | {"OK"}
    for metric, matchers in metrics_of(QUERIES[name]).items():
        for label, operator, value in matchers:
            if label == "reason":
                assert value in reasons
            elif label == "refused" and value and "*" not in value:
                for code in value.split("|"):
                    assert counted_as(code) == code
            elif label == "job":
                assert set(value.split("|")) <= JOBS
            elif label == "method":
                assert any(re.fullmatch(value, rpc) for rpc in RPCS), metric
            assert operator in ("=", "=~", "!=", "!~")


def counted_as(code: str) -> str:
    """The label under which the edge counts a refusal with this code."""
    registry = CollectorRegistry()
    EdgeMetrics(registry).finished(500, {"refused": code}, 0.1)
    (label,) = [
        sample.labels["refused"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "gateway_requests_total"
    ]
    return label


def test_a_made_up_metric_is_noticed() -> None:
    assert metrics_of('sum(rate(gateway_made_up_total{nobody="x"}[5m])) > 0') == {
        "gateway_made_up_total": [("nobody", "=", "x")]
    }
    assert "gateway_made_up_total" not in METRICS


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    assert re.search(rf"^#+ {rule['alert']}$", OPERATIONS.read_text(), re.M), "no runbook"


def test_the_dashboard_can_be_imported_anywhere() -> None:
    told = json.loads(DASHBOARD.read_text())
    assert told["uid"] == "ai-gateway"
    assert "id" not in told
    variables = {variable["name"]: variable for variable in told["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
    ids = [panel["id"] for panel in told["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_operators_rules_are_the_same_rules() -> None:
    operators = DEPLOY / "k8s" / "components" / "monitoring" / "rules.yaml"
    assert yaml.safe_load(operators.read_text())["spec"] == yaml.safe_load(RULES.read_text())


def test_every_job_is_scraped_where_it_listens() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in jobs}
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    listens = {
        name: int(compose[name]["environment"][f"GATEWAY_{name.upper()}_METRICS_LISTEN"][-4:])
        for name in JOBS
    }
    assert scraped == listens


def promtool(*words: str | Path) -> None:
    found = shutil.which("promtool") or DEPLOY.parent / ".tools" / "bin" / "promtool"
    if not os.access(found, os.X_OK):
        pytest.skip("promtool is not installed here")
    done = subprocess.run([found, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_rules_and_configuration() -> None:
    promtool("check", "rules", RULES)
    promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_promtool_sees_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", Path(__file__).parent / "alerts_test.yaml")


def test_every_alert_is_seen_to_fire() -> None:
    cases = yaml.safe_load((Path(__file__).parent / "alerts_test.yaml").read_text())["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    assert {c["alertname"] for c in checks if c["exp_alerts"]} == {r["alert"] for r in rules()}
