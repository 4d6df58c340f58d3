"""Which image runs."""

from __future__ import annotations

import yaml
from charts import CHART, Manifest, pod, triton

VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["appVersion"]
DIGEST = "sha256:" + "0" * 64


def image(**values: str) -> str:
    return str(triton({"image": {"repository": "registry.example/fuserank", **values}})["image"])


def test_the_charts_version_is_the_tag_unless_another_is_named():
    assert image() == f"registry.example/fuserank:{VERSION}"
    assert image(tag="next") == "registry.example/fuserank:next"


def test_a_digest_goes_before_the_tag():
    assert image(tag="next", digest=DIGEST) == f"registry.example/fuserank@{DIGEST}"


def test_one_image_serves_and_verifies():
    values: Manifest = {"image": {"repository": "registry.example/fuserank", "pullSecrets": [{"name": "pull"}]}}
    spec = pod(values)
    assert {c["image"] for c in [*spec["initContainers"], *spec["containers"]]} == {
        f"registry.example/fuserank:{VERSION}"
    }
    assert spec["imagePullSecrets"] == [{"name": "pull"}]


def test_the_charts_version_is_the_projects():
    project = (CHART.parents[2] / "pyproject.toml").read_text("utf-8")
    assert f'version = "{VERSION}"' in project
