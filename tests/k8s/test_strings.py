"""Every string of the values stays the string that it was, whatever YAML would make of it, or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support.chart_values import BASES
from support.charts import CHART, LEAST, Manifest, manifests, merged, refusal

ODD = ("20261128", "a #b", "a: b", "yes", "../../etc", "null", '"a')
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
Place = tuple[str | int, ...]
# What a string must begin and end with, for the schema to take the rest.
AROUND = {
    "tracing.endpoint": "http://{}/v1/traces",
    "autoscaling.keda.prometheus": "http://{}",
    "state.redis.url": "redis://{}",
    "bundle.objectStorage.remote": "s3:{}",
    "extraVolumeMounts.0.mountPath": "/{}",
    "seccompProfile": "{}.json",
}
# The templates refuse these in words of their own, since they are one of some, or have to be alike or to differ.
BOUND = {"profile", "ingest.topics.t", "extraVolumes.0.name", "extraVolumeMounts.0.name", "experiment.arms.1.name"}


def strings(node: Any, place: Place = ()) -> Iterator[Place]:
    """The place of every string, of empty ones too."""
    if isinstance(node, str):
        yield place
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from strings(inner, (*place, key))


def at(values: Any, place: Place) -> Any:
    for key in place:
        values = values[key]
    return values


def named(place: Place) -> str:
    return ".".join(map(str, place))


def put(values: Manifest, texts: dict[Place, str]) -> Manifest:
    """A copy of the values with these strings."""
    copy = json.loads(json.dumps(values))
    for place, text in texts.items():
        at(copy, place[:-1])[place[-1]] = AROUND.get(named(place), "{}").format(text)
    return dict(copy)


def schema_of(place: Place) -> Manifest:
    """What the schema says of one value."""
    found = SCHEMA
    for key in place:
        within = found["items"] if isinstance(key, int) else found.get("properties", {}).get(key)
        found = within or found.get("additionalProperties", {})  # none: Kubernetes' own, such as a volume
        if "$ref" in found:
            found = SCHEMA["$defs"][found["$ref"].rpartition("/")[2]]
    return found


def taken(place: Place, text: str) -> bool:
    """Whether the schema takes a string."""
    from jsonschema import Draft202012Validator  # seconds at its import, see `test_schemas`

    whole = AROUND.get(named(place), "{}").format(text)
    return bool(Draft202012Validator(schema_of(place)).is_valid(whole))


def replaced(node: Any, texts: dict[str, str]) -> Any:
    """Rendered objects with other strings in them; what is drawn or a digest of others is left out."""
    if isinstance(node, dict):
        return {key: replaced(value, texts) for key, value in node.items() if not str(key).startswith("checksum/")}
    if isinstance(node, list):
        return [replaced(each, texts) for each in node]
    for old, new in texts.items() if isinstance(node, str) else ():
        node = node.replace(old, new)
    return node


def rendered(values: Manifest) -> list[Manifest]:
    return [each for each in manifests(values) if each["kind"] != "Secret"]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("odd", ODD)
def test_a_string_is_rendered_as_it_is_or_refused(base: str, odd: str):
    values = merged(DEFAULTS, LEAST, BASES[base])
    plain: dict[Place, str] = {}
    for number, place in enumerate(strings(values)):
        if at(values, place) and named(place) not in BOUND and taken(place, odd):
            # The second is for quantities.
            marks = (mark for mark in (f"m{number:03}m", f"7{number:03}000") if taken(place, mark))
            plain[place] = next(marks)
    if ".." in odd:
        leads_out = {place: odd for place in plain if place == ("bundle", "path")}
        for place in leads_out:
            del plain[place]
            assert f'{named(place)}: found "{odd}", which leads out' in refusal(put(values, {place: odd}))
    assert len(plain) > 3, "the schema takes this for free texts"
    expected = replaced(rendered(put(values, plain)), dict.fromkeys(plain.values(), odd))
    # Strings within TOML are written as JSON's.
    escaped = json.dumps(odd)[1:-1]
    found = replaced(rendered(put(values, dict.fromkeys(plain, odd))), {escaped: odd} if escaped != odd else {})
    assert found == expected


def test_every_string_of_the_values_is_used_by_one_of_these():
    every = [merged(DEFAULTS, LEAST, base) for base in BASES.values()]
    used = {place for values in every for place in strings(values) if at(values, place)}
    assert [named(place) for place in strings(DEFAULTS) if place not in used] == []
