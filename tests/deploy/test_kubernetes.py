"""The Kubernetes objects: valid, confined, probed, and without a way around mTLS."""

import re
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from tests.deploy.rendered import (
    OVERLAYS,
    Object,
    container,
    environment,
    objects,
    of_kind,
    pod,
    workloads,
)

OPERATORS_KINDS = {
    "Certificate",
    "Issuer",
    "PodMonitor",
    "PrometheusRule",
    "ScaledObject",
}
"""Custom resources: their schemas come with the operators that own them."""

GRPC = {"auth": 50051, "quota": 50052}

RESOLVERS_KEEP_SECONDS = 30
"""CoreDNS as kubeadm sets it up."""

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@every_overlay
def test_every_object_follows_the_kubernetes_schema(overlay: str) -> None:
    version = kubernetes_validate.latest_version()
    checked = 0
    for made in objects(overlay):
        if made["kind"] not in OPERATORS_KINDS:
            kubernetes_validate.validate(made, version, strict=True)
            checked += 1
    assert checked > 20


@every_overlay
def test_every_object_is_in_the_overlays_namespace(overlay: str) -> None:
    found = {o["metadata"].get("namespace") for o in objects(overlay) if o["kind"] != "Namespace"}
    (name,) = of_kind(overlay, "Namespace")
    assert found == {name}


@every_overlay
def test_F8_no_pod_can_become_more_than_it_is(overlay: str) -> None:
    for name, workload in workloads(overlay).items():
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            assert field not in spec, name
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


@every_overlay
def test_F8_namespaces_enforce_the_restricted_profile(overlay: str) -> None:
    for namespace in of_kind(overlay, "Namespace").values():
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@every_overlay
def test_every_container_says_what_it_needs_and_what_it_may_take(overlay: str) -> None:
    for name, workload in workloads(overlay).items():
        resources = container(workload)["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}, name
        assert "memory" in resources["limits"], name
        # A CPU limit throttles a stream in the middle; the request already shares fairly.
        assert "cpu" not in resources["limits"], name


@every_overlay
def test_every_image_has_a_version(overlay: str) -> None:
    images = {container(workload)["image"] for workload in workloads(overlay).values()}
    assert [image for image in images if not re.search(r":v?\d", image)] == []


@every_overlay
def test_what_serves_is_probed_and_may_be_evicted_one_at_a_time(overlay: str) -> None:
    budgets = [b["spec"] for b in of_kind(overlay, "PodDisruptionBudget").values()]
    for name, workload in of_kind(overlay, "Deployment", "StatefulSet").items():
        assert {"readinessProbe", "livenessProbe"} <= set(container(workload)), name
        matching = [b for b in budgets if b["selector"] == workload["spec"]["selector"]]
        assert [b["maxUnavailable"] for b in matching] == [1], name


@every_overlay
@pytest.mark.parametrize("name", GRPC)
def test_the_kubelet_asks_the_port_that_tells_health_only(overlay: str, name: str) -> None:
    workload = of_kind(overlay, "Deployment")[name]
    told = container(workload)
    port = int(environment(workload)["GATEWAY_HEALTH_LISTEN"].rpartition(":")[2])
    assert port not in GRPC.values()
    # A pod whose KV is away must leave the balancing, but must not be restarted.
    assert told["readinessProbe"]["grpc"] == {"port": port}
    assert told["livenessProbe"]["grpc"] == {"port": port, "service": "live"}
    assert told["startupProbe"]["grpc"] == {"port": port, "service": "live"}


@every_overlay
def test_an_outage_of_quota_does_not_take_the_edges_out_of_service(overlay: str) -> None:
    told = container(of_kind(overlay, "Deployment")["edge"])
    assert told["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert told["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert told["livenessProbe"]["httpGet"]["path"] == "/healthz"


@every_overlay
@pytest.mark.parametrize("name", ["edge", "auth", "quota"])
def test_a_pod_drains_before_it_is_killed(overlay: str, name: str) -> None:
    workload = of_kind(overlay, "Deployment")[name]
    before = container(workload)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = int(environment(workload)["GATEWAY_DRAIN_SECONDS"])
    assert before >= 5
    assert pod(workload)["terminationGracePeriodSeconds"] >= before + drain + 10
    assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@every_overlay
@pytest.mark.parametrize("name", GRPC)
def test_an_old_pod_goes_when_resolvers_have_forgotten_the_names_without_the_new_one(
    overlay: str, name: str
) -> None:
    # An edge that knows only pods which are gone would answer 503 until its resolver forgets them.
    assert of_kind(overlay, "Deployment")[name]["spec"]["minReadySeconds"] > RESOLVERS_KEEP_SECONDS


@every_overlay
def test_names_are_found_wherever_the_resolver_is(overlay: str) -> None:
    (rule,) = of_kind(overlay, "NetworkPolicy")["names"]["spec"]["egress"]
    assert {(p["protocol"], p["port"]) for p in rule["ports"]} == {("UDP", 53), ("TCP", 53)}
    cluster, node = rule["to"]
    assert cluster["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "kube-system"
    }
    assert node == {"ipBlock": {"cidr": "169.254.20.10/32"}}


@every_overlay
@pytest.mark.parametrize("name", GRPC)
def test_the_edge_sees_every_ready_pod_and_balances_itself(overlay: str, name: str) -> None:
    service = of_kind(overlay, "Service")[name]["spec"]
    assert service["clusterIP"] == "None"
    assert [port["port"] for port in service["ports"]] == [GRPC[name]]
    assert "publishNotReadyAddresses" not in service
    (config,) = [o for n, o in of_kind(overlay, "ConfigMap").items() if n.startswith("gateway-")]
    assert config["data"][f"GATEWAY_{name.upper()}_TARGET"] == f"dns:///{name}:{GRPC[name]}"


@every_overlay
@pytest.mark.parametrize("name", ["edge", "auth", "quota"])
def test_F2_certificates_are_files_that_can_change(overlay: str, name: str) -> None:
    workload = of_kind(overlay, "Deployment")[name]
    (volume,) = [v for v in pod(workload)["volumes"] if v["name"] == "certs"]
    assert volume["secret"]["secretName"] == f"{name}-tls"
    assert volume["secret"]["defaultMode"] & 0o007 == 0
    (mount,) = [m for m in container(workload)["volumeMounts"] if m["name"] == "certs"]
    # A file mounted by subPath would stay what it was when the pod started.
    assert mount == {"name": "certs", "mountPath": "/certs", "readOnly": True}


@every_overlay
def test_F3_reflection_is_off_outside_dev(overlay: str) -> None:
    (config,) = [o for n, o in of_kind(overlay, "ConfigMap").items() if n.startswith("gateway-")]
    assert config["data"]["GATEWAY_GRPC_REFLECTION"] == ("true" if overlay == "dev" else "false")


@every_overlay
def test_secrets_are_named_and_never_written_down(overlay: str) -> None:
    assert of_kind(overlay, "Secret") == {}
    secret = re.compile(r"KEY|TOKEN|PASSWORD|REDIS_URL")
    for name, workload in workloads(overlay).items():
        for variable, value in (
            environment(workload).items() if "env" in container(workload) else ()
        ):
            if secret.search(variable):
                assert value["secretKeyRef"]["name"] == "gateway", (name, variable)
    for config in of_kind(overlay, "ConfigMap").values():
        leaked = [key for key in config["data"] if secret.search(key) and "TLS" not in key]
        assert leaked == []


@every_overlay
def test_each_process_gets_only_its_own_secrets(overlay: str) -> None:
    def given(name: str) -> set[str]:
        told = environment(of_kind(overlay, "Deployment")[name])
        return {k for k, v in told.items() if isinstance(v, dict) and "secretKeyRef" in v}

    assert given("edge") == {"GATEWAY_SERVICE_TOKEN"}
    assert given("quota") == {"ADMIN_API_KEY", "GATEWAY_SERVICE_TOKEN", "REDIS_URL"}
    assert given("auth") == {*given("quota"), "GATEWAY_MASTER_KEY"}


def allowed(overlay: str, policy: str, direction: str) -> list[tuple[Any, Any]]:
    """(peer's label, port) of each rule; the port by number or name."""
    rules = of_kind(overlay, "NetworkPolicy")[policy]["spec"][direction]
    found = []
    for rule in rules:
        for peer in rule.get("from", rule.get("to", [{}])):
            label = peer.get("podSelector", {}).get("matchLabels", {})
            for port in rule["ports"]:
                found.append((label.get("app.kubernetes.io/name"), port["port"]))
    return found


@every_overlay
def test_what_is_not_allowed_is_denied(overlay: str) -> None:
    denied = of_kind(overlay, "NetworkPolicy")["default-deny"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    names = {
        p["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
        for p in of_kind(overlay, "NetworkPolicy").values()
    }
    assert names >= set(workloads(overlay))


@every_overlay
@pytest.mark.parametrize("name", GRPC)
def test_only_the_edge_reaches_auth_and_quota(overlay: str, name: str) -> None:
    into = allowed(overlay, name, "ingress")
    assert [peer for peer, port in into if port == "grpc"] == ["edge"]
    assert {port for _, port in into} <= {"grpc", "metrics"}
    assert allowed(overlay, name, "egress") == [("valkey", 6379)]


@every_overlay
def test_D1_the_edge_reaches_no_private_address_but_its_services(overlay: str) -> None:
    egress = of_kind(overlay, "NetworkPolicy")["edge"]["spec"]["egress"]
    (block,) = [peer["ipBlock"] for rule in egress for peer in rule["to"] if "ipBlock" in peer]
    assert set(block["except"]) >= {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}
    assert "169.254.0.0/16" in block["except"], "the cloud's metadata service"


@every_overlay
def test_the_control_plane_is_not_where_clients_are(overlay: str) -> None:
    edge = of_kind(overlay, "Deployment")["edge"]
    assert environment(edge)["GATEWAY_ADMIN_LISTEN"] == "0.0.0.0:8788"
    ports = {port["name"]: port["containerPort"] for port in container(edge)["ports"]}
    assert ports["admin"] == 8788
    (port,) = of_kind(overlay, "Service")["edge"]["spec"]["ports"]
    assert port["targetPort"] == "http"
    assert allowed(overlay, "edge", "ingress") == [(None, "http")]


def test_each_deployment_has_exactly_one_autoscaler() -> None:
    for overlay in ("prod", "everything"):
        targets = [
            scaler["spec"]["scaleTargetRef"]["name"]
            for scaler in objects(overlay)
            if scaler["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
        ]
        assert sorted(targets) == ["auth", "edge", "quota"]
        for name in targets:
            assert "replicas" not in of_kind(overlay, "Deployment")[name]["spec"]


def test_prod_survives_the_loss_of_a_node() -> None:
    for scaler in of_kind("prod", "HorizontalPodAutoscaler").values():
        assert scaler["spec"]["minReplicas"] >= 2
    for name in ("edge", "auth", "quota"):
        (spread,) = pod(of_kind("prod", "Deployment")[name])["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"


def test_a_catalog_of_ones_own_reaches_edge_and_quota_alike() -> None:
    def mounted(name: str) -> Object:
        (volume,) = [
            v
            for v in pod(of_kind("everything", "Deployment")[name])["volumes"]
            if v["name"] == "catalog"
        ]
        config: Object = volume["configMap"]
        return config

    assert mounted("edge") == mounted("quota")
    assert mounted("edge")["name"] in of_kind("everything", "ConfigMap")


def test_a_cluster_of_six_keeps_each_write_on_two_nodes() -> None:
    valkey = of_kind("everything", "StatefulSet")["valkey"]
    assert valkey["spec"]["replicas"] == 6
    script = container(valkey)["command"][-1]
    for option in ("--cluster-enabled yes", "--min-replicas-to-write 1", "--appendonly yes"):
        assert option in script
    (config,) = [
        o for n, o in of_kind("everything", "ConfigMap").items() if n.startswith("gateway-")
    ]
    assert config["data"]["GATEWAY_KV_CLUSTER"] == "true"


def test_the_edges_disk_outlives_the_container_and_with_the_component_the_pod() -> None:
    def disk(overlay: str) -> Object:
        spec = pod(of_kind(overlay, "Deployment")["edge"])
        (volume,) = [v for v in spec["volumes"] if v["name"] == "data"]
        assert isinstance(volume, dict)
        return volume

    assert disk("prod") == {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}
    assert disk("everything") == {
        "name": "data",
        "persistentVolumeClaim": {"claimName": "edge-data"},
    }
    claim = of_kind("everything", "PersistentVolumeClaim")["edge-data"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
