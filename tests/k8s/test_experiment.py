"""An experiment on users: the file that every replica reads, the bundles of its arms, and what cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fuserank_ensemble.contract.controls import Explore, Rule
from fuserank_ensemble.contract.experiment import PLACE, Experiment, read_experiment
from fuserank_ensemble.contract.options import Objective
from support.charts import LEAST, Manifest, merged, only, pod, refusal, triton

NAME = "shop-experiment"
REDIS: Manifest = {"state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}, "keySecretName": "people"}}
RULES = [{"boost": 1, "filter": {"brand": "Acme", "price": {"lt": 3}}}, {"pin": 2, "item_ids": ["i01"]}]
TUNED = {
    "name": "tuned", "share": 0.25, "objective": {"purchase": 1}, "diversity": 0.3, "rules": RULES,
    "explore": {"method": "thompson", "rate": 1, "slots": [5], "max_events": 50},
}  # fmt: skip
ARMS = [{"name": "control", "share": 0.5}, TUNED]
EXPERIMENT = merged(REDIS, {"experiment": {"name": "purchases-first", "shadow": 0.01, "arms": ARMS}})
OTHER = {"name": "next", "share": 0.25, "bundle": "/shop-next"}
BUNDLES = merged(
    REDIS,
    {"experiment": {"name": "next", "arms": [ARMS[0], OTHER]}, "bundle": {"path": "shop", "pvc": {"claimName": "all"}}},
)


def config(tmp_path: Path, *values: Manifest) -> Experiment:
    """The rendered experiment, as the processes read it."""
    path = tmp_path / "experiment.toml"
    path.write_text(only("ConfigMap", *values, name=NAME)["data"]["experiment.toml"], "utf-8")
    return read_experiment(path)


def containers(*values: Manifest) -> dict[str, dict[str, Any]]:
    spec = pod(*values)
    return {each["name"]: each for each in [*spec["initContainers"], *spec["containers"]]}


def test_there_is_none_unless_it_is_asked_for():
    with pytest.raises(ValueError, match="not enough values"):
        only("ConfigMap", REDIS, name=NAME)
    assert PLACE not in {each["name"] for each in triton(REDIS)["env"]}
    assert "annotations" not in only("Deployment", REDIS)["spec"]["template"]["metadata"]


def test_the_file_is_what_the_values_say(tmp_path: Path):
    found = config(tmp_path, EXPERIMENT)
    control, tuned = found.arms
    assert (found.name, found.shadow, control.name, control.share) == ("purchases-first", 0.01, "control", 0.5)
    assert (tuned.objective, tuned.diversity, tuned.bundle) == (Objective(purchase=1), 0.3, "")
    assert tuned.rules == [Rule(boost=1, filter=RULES[0]["filter"]), Rule(pin=2, item_ids=["i01"])]
    assert tuned.explore == Explore(method="thompson", rate=1, slots=[5], max_events=50)


def test_every_process_of_a_replica_reads_it_and_another_one_is_another_pod():
    for name in ("triton", "verify"):
        of = containers(EXPERIMENT)[name]
        mounts = {mount["name"]: mount["mountPath"] for mount in of["volumeMounts"]}
        variables = {each["name"]: each.get("value") for each in of["env"]}
        assert variables[PLACE] == f"{mounts['experiment']}/experiment.toml"
        assert variables["FUSERANK_STATE_KEY_FILE"].startswith(mounts["state-key"]), "people are dealt by this key"
    (volume,) = [volume for volume in pod(EXPERIMENT)["volumes"] if volume["name"] == "experiment"]
    assert volume["configMap"] == {"name": NAME}
    annotated = merged(EXPERIMENT, {"podAnnotations": {"a": "b"}})
    templates = [
        only("Deployment", values)["spec"]["template"]["metadata"]["annotations"]
        for values in (annotated, merged(annotated, {"experiment": {"shadow": 0.5}}))
    ]
    assert templates[0] != templates[1]
    assert all(template["a"] == "b" for template in templates)


def test_bundles_of_arms_lie_in_the_claim_which_the_replica_sees_whole(tmp_path: Path):
    assert [arm.bundle for arm in config(tmp_path, BUNDLES).arms] == ["", "/bundles/shop-next"]
    for name in ("triton", "verify"):
        mounts = containers(BUNDLES)[name]["volumeMounts"]
        assert {"name": "bundle", "mountPath": "/bundles", "readOnly": True} in mounts
    assert "/bundles/shop" in containers(BUNDLES)["verify"]["command"]
    assert {"name": "bundle", "mountPath": "/bundle", "readOnly": True} in triton(EXPERIMENT)["volumeMounts"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            merged(EXPERIMENT, {"state": {"kind": "none", "keySecretName": ""}}),
            "experiment.name: set, and state.kind is",
        ),
        (merged(EXPERIMENT, {"experiment": {"name": ""}}), "experiment.name: empty, and experiment.arms names some"),
        (merged(EXPERIMENT, {"experiment": {"arms": ARMS[:1]}}), "experiment.arms: found 1; name two at least"),
        (
            merged(EXPERIMENT, {"experiment": {"arms": [ARMS[0], ARMS[0]]}}),
            "experiment.arms: found the names control, control; each name once",
        ),
        (
            merged(EXPERIMENT, {"experiment": {"arms": [*ARMS, {"name": "third", "share": 0.5}]}}),
            "experiment.arms: found shares that sum up to 1.25; lower them to 1 at most",
        ),
        (
            merged(BUNDLES, {"experiment": {"arms": [OTHER, ARMS[0]]}}),
            "experiment.arms[0].bundle: the bundle of the release answers the control",
        ),
        (
            merged(BUNDLES, {"experiment": {"shadow": 0.1}}),
            "experiment.shadow: an arm with a bundle has other candidates",
        ),
        (
            merged(BUNDLES, {"bundle": {"source": "image", "image": {"reference": "bundle:1"}}}),
            "bundle.source: image, and an arm of the experiment has a bundle",
        ),
        (merged(BUNDLES, {"bundle": {"path": ""}}), "bundle.path: empty, and an arm of the experiment has a bundle"),
        (
            merged(BUNDLES, {"refresh": {"enabled": True}, "bundle": {"pvc": {"accessMode": "ReadWriteMany"}}}),
            "refresh.enabled: true, and an arm of the experiment has a bundle; the control stays what it is",
        ),
        (merged(EXPERIMENT, {"experiment": {"arms": [ARMS[0], {"name": "x"}]}}), "share"),
        (merged(EXPERIMENT, {"experiment": {"arms": [ARMS[0], {**OTHER, "bundel": "x"}]}}), "bundel"),
        (merged(EXPERIMENT, {"experiment": {"name": "a b"}}), "experiment"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(values: Manifest, words: str):
    assert words in refusal(merged(LEAST, values))
