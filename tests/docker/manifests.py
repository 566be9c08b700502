"""`docker/kubernetes/` as `kubectl apply --kustomize` reads it: resources, generated settings, JSON patches."""

import copy
from pathlib import Path
from typing import Any

import jsonpatch
from ruamel.yaml import YAML

from tests.docker.files import DOCKER

KUBERNETES = DOCKER / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())

Resource = dict[str, Any]


def documents(file: Path) -> list[Resource]:
    return list(YAML(typ="safe").load_all(file))


def kustomization(folder: Path) -> Resource:
    [loaded] = documents(folder / "kustomization.yaml")
    return loaded


def resources(folder: Path) -> list[Resource]:
    """Return a kustomization's resources with its patches applied; images and settings keep their plain names."""
    chosen = kustomization(folder)
    found: list[Resource] = []
    for place in chosen["resources"]:
        path = folder / place
        found += resources(path.resolve()) if path.is_dir() else documents(path)
    found += [_settings(folder, generator) for generator in chosen.get("configMapGenerator", [])]
    for patch in chosen.get("patches", []):
        found = _patched(found, patch)
    return copy.deepcopy(found)


def overlay(name: str) -> list[Resource]:
    return resources(KUBERNETES / "overlays" / name)


def one(found: list[Resource], kind: str, name: str) -> Resource:
    [resource] = [r for r in found if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    return resource


def pods(found: list[Resource]) -> dict[str, Resource]:
    """Return the specification of each workload's pods by its name."""
    return {r["metadata"]["name"]: r["spec"]["template"]["spec"] for r in found if r["kind"] in ("Deployment", "Job")}


def _settings(folder: Path, generator: Resource) -> Resource:
    lines = [line for file in generator["envs"] for line in (folder / file).read_text().splitlines()]
    data = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _patched(found: list[Resource], patch: Resource) -> list[Resource]:
    target, operations = patch["target"], YAML(typ="safe").load(patch["patch"])
    assert one(found, target["kind"], target["name"]), "a patch that changes nothing"
    return [
        jsonpatch.apply_patch(r, operations) if (r["kind"], r["metadata"]["name"]) == tuple(target.values()) else r
        for r in found
    ]
