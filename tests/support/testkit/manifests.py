"""The Kubernetes manifests as Kustomize renders them, and how to look at them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"

# Where kubectl is. Who sets it wants the tests: without a program there they fail instead of being left out.
GIVEN = os.environ.get("KUBECTL", "")
KUBECTL = GIVEN or shutil.which("kubectl")

Manifest = dict[str, Any]


@cache
def rendered(folder: str) -> list[Manifest]:
    """All objects of a folder below deploy/kubernetes."""
    assert KUBECTL is not None
    assert shutil.which(KUBECTL), f"KUBECTL={KUBECTL}: there is no such program"
    command = [KUBECTL, "kustomize", str(KUBERNETES / folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """Those of some kinds."""
    return [each for each in manifests if each["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one with a name; generated names carry a hash."""
    return next(each for each in of_kind(manifests, kind) if each["metadata"]["name"].startswith(name))


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """What runs: its name and its template."""
    for each in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        yield each["metadata"]["name"], each["spec"]["template"]


def environment(manifests: list[Manifest], name: str) -> dict[str, str | None]:
    """What a container of a Deployment or Job finds in its environment; None stands for a secret that must be there."""
    template = next(template for each, template in pods(manifests) if each == name)
    (container,) = template["spec"]["containers"]
    found: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for each in container.get("env", []):
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        if reference is None:
            found[each["name"]] = each["value"]
        elif not reference.get("optional"):
            found[each["name"]] = None
    return found
