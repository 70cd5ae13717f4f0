"""The shipped compose and Kubernetes examples, read as the Collectors that they would run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from collector_process import CONFIGURATIONS

IMAGE = "otel/opentelemetry-collector-contrib:"
_MOUNTED = "/etc/otelcol/"


@dataclass(frozen=True)
class Container:
    """One Collector: its host name, the shipped configurations that it is given, its environment and its image."""

    name: str
    configurations: Sequence[str]
    environment: Mapping[str, str]
    image: str


def compose(name: str) -> list[Container]:
    """The Collectors of a compose file; variables that must be given have the value ``given``."""
    services = yaml.safe_load((CONFIGURATIONS / name).read_text())["services"]
    found = []
    for host, service in services.items():
        if not service.get("image", "").startswith(IMAGE):
            continue
        environment = {key: _given(value) for key, value in service["environment"].items()}
        mounted = {volume.split(":")[1] for volume in service["volumes"]}
        configurations = _configurations(service["command"])
        assert {_MOUNTED + name for name in configurations} <= mounted
        found.append(Container(host, configurations, environment, service["image"]))
    return found


def kubernetes(folder: str) -> list[Container]:
    """The Collectors of a kustomization, one for each replica."""
    found = []
    for manifest in manifests(CONFIGURATIONS / folder):
        if manifest["kind"] != "StatefulSet":
            continue
        spec = manifest["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        if not container["image"].startswith(IMAGE):
            continue
        environment = {each["name"]: each.get("value", "given") for each in container["env"]}
        configurations = _configurations(container["args"])
        for number in range(spec["replicas"]):
            host = f"{manifest['metadata']['name']}-{number}.{spec['serviceName']}"
            found.append(Container(host, configurations, environment, container["image"]))
    return found


def manifests(folder: Path) -> Iterator[dict[str, Any]]:
    """The manifests of a kustomization with its patches applied (JSON patch: replace and add)."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    patches = kustomization.get("patches", [])
    for resource in kustomization["resources"]:
        path = folder / resource
        held = manifests(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
        for manifest in held:
            for patch in patches:
                target = patch["target"]
                if (manifest["kind"], manifest["metadata"]["name"]) == (target["kind"], target["name"]):
                    _apply(manifest, yaml.safe_load(patch["patch"]))
            yield manifest


def _apply(manifest: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        place: Any = manifest
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        if last == "-":
            place.append(operation["value"])
        else:
            assert last in place
            place[last] = operation["value"]


def _configurations(arguments: Sequence[str]) -> list[str]:
    names = [argument.removeprefix(f"--config={_MOUNTED}") for argument in arguments]
    assert all((CONFIGURATIONS / name).is_file() for name in names), names
    return names


def _given(value: str) -> str:
    """A value in which ``${NAME:-default}`` and ``${NAME:?message}`` are resolved."""
    return re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda m: m[2] if m[1] == "-" else "given", value)
