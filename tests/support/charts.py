"""The chart, rendered by Helm's own engine."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "k8s" / "chart" / "fuserank"
VALUES = {path.stem: path for path in sorted((CHART / "values").glob("*.yaml"))}
RELEASE, NAMESPACE = "shop", "shops"
# The least that an installation has to say.
LEAST = {"bundle": {"pvc": {"claimName": "fuserank-bundle"}}}
Manifest = dict[str, Any]


@cache
def chart() -> helm_python.Chart:
    """Loaded once: it does not change while the tests run."""
    return helm_python.Chart.load(CHART)


def merged(*values: Manifest) -> Manifest:
    """Later values win, key by key, as several `--values` do."""
    out: Manifest = {}
    for each in values:
        for key, value in each.items():
            known = out.get(key)
            out[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return out


def values_of(name: str) -> Manifest:
    """One of the ready-made sets of values."""
    return dict(yaml.safe_load(VALUES[name].read_text("utf-8")))


def files(values: Manifest, release: str = RELEASE) -> dict[str, str]:
    """Every template's text."""
    rendered = chart().render(values, name=release, namespace=NAMESPACE)
    return {name.partition("/templates/")[2]: text for name, text in rendered.items()}


def manifests(*values: Manifest, again: bool = False, release: str = RELEASE) -> list[Manifest]:
    """All objects that an installation with these values makes, on top of the least.

    Values are rendered once a run, unless it is to be done `again`.
    """
    rendered = _manifests.__wrapped__ if again else _manifests
    return deepcopy(rendered(json.dumps(merged(LEAST, *values), sort_keys=True), release))


@cache
def _manifests(values: str, release: str) -> list[Manifest]:
    texts = [text for name, text in files(json.loads(values), release).items() if not name.endswith(".txt")]
    made = [each for text in texts for each in yaml.load_all(text, yaml.CSafeLoader) if each]
    for each in made:
        check_mounts(each)
    return made


def check_mounts(node: Any) -> None:
    """Whatever values a test renders: no container mounts two volumes at one path, which no schema says."""
    if isinstance(node, dict):
        paths = [mount["mountPath"] for mount in node.get("volumeMounts") or ()]
        assert len(paths) == len(set(paths)), f"{node.get('name')}: {sorted(paths)}"
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        check_mounts(inner)


def only(kind: str, *values: Manifest, name: str = RELEASE) -> Manifest:
    """The object of a kind and a name."""
    (found,) = [m for m in manifests(*values) if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def kinds(*values: Manifest) -> set[str]:
    """The kinds of all objects."""
    return {each["kind"] for each in manifests(*values)}


def pod(*values: Manifest) -> Manifest:
    """The pod template's spec of the Deployment."""
    return dict(only("Deployment", *values)["spec"]["template"]["spec"])


def triton(*values: Manifest) -> Manifest:
    """Triton's container."""
    (container,) = pod(*values)["containers"]
    return dict(container)


def refusal(*values: Manifest, release: str = RELEASE) -> str:
    """What a person reads who installs with values that cannot work."""
    try:
        manifests(*values, release=release)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError("the chart was rendered")
