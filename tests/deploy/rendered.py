"""Kubernetes objects as kustomize renders them; no cluster is asked."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
OVERLAYS = {
    "dev": ROOT / "deploy" / "k8s" / "overlays" / "dev",
    "prod": ROOT / "deploy" / "k8s" / "overlays" / "prod",
    "everything": ROOT / "tests" / "deploy" / "everything",
}

Object = dict[str, Any]


def _kustomize() -> Path | None:
    for found in (ROOT / ".tools" / "bin" / "kustomize", shutil.which("kustomize")):
        if found and Path(found).is_file():
            return Path(found)
    return None


@functools.cache
def objects(overlay: str) -> tuple[Object, ...]:
    """Every object of an overlay. Skips where kustomize is missing; continuous integration has
    it, and fails without."""
    tool = _kustomize()
    if tool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("kustomize is missing: run `make tools`")
        pytest.skip("kustomize is missing (`make tools` fetches it where Go is)")
    done = subprocess.run(
        [tool, "build", OVERLAYS[overlay]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns"
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> dict[str, Object]:
    """The objects of these kinds, by name."""
    return {o["metadata"]["name"]: o for o in objects(overlay) if o["kind"] in kinds}


def workloads(overlay: str) -> dict[str, Object]:
    """Everything that runs pods, by name."""
    return of_kind(overlay, "Deployment", "StatefulSet", "Job")


def pod(workload: Object) -> Object:
    """The pod's spec."""
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Object) -> Object:
    """Its only container."""
    (only,) = pod(workload)["containers"]
    assert isinstance(only, dict)
    return only


def environment(workload: Object) -> dict[str, Any]:
    """What the container is given by name: a value, or where it comes from."""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(workload)["env"]}
