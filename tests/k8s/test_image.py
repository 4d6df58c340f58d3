"""Which image runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import yaml

from support.charts import CHART, REPOSITORY, Manifest, pod, triton

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


DOCKERFILE = REPOSITORY / "k8s" / "Dockerfile"


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(DOCKERFILE)], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_nvidias_release_is_named_once_and_its_images_are_of_it():
    text = DOCKERFILE.read_text("utf-8")
    assert len(re.findall(r"\b\d\d\.\d\d\b(?!\.)", text)) == 1
    bases = re.findall(r"^FROM (\S+)", text, re.M)
    of_nvidia = {base for base in bases if base.startswith("nvcr.io/")}
    assert {base.partition(":")[2] for base in of_nvidia} == {"${RELEASE}-py3"}
    # What reads Kafka has a small image, of one Python.
    assert len({*bases} - of_nvidia) == 1


def test_the_image_can_run_the_graph_in_one_process():
    """Its extra has ONNX Runtime for Python, whatever backends Triton brings; and what it starts by default fits."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert any(requirement.startswith("onnxruntime>") for requirement in extras["serve"])
    server = DOCKERFILE.read_text("utf-8").split("\nFROM ")[-1]
    (target,) = re.findall(r"^ENV FUSERANK_TARGET=(\w+)$", server, re.M)
    assert target == "single_process"
    (command,) = re.findall(r"^CMD (\[.*\])$", server, re.M)
    words = json.loads(command)[-1].split()
    assert words[:4] == ["python3", "-m", "fuserank_ensemble.serving.lifecycle.verify", "/bundle"]
    assert words[4:6] == ["--target=$FUSERANK_TARGET", "--models=/tmp/models"]
    assert {"--model-repository=/tmp/models", "--model-config-name=$FUSERANK_TARGET"} <= set(words)


def test_no_image_runs_as_root_or_holds_what_serving_does_not_need():
    packages, engines, ingest_packages, ingest, server = DOCKERFILE.read_text("utf-8").split("\nFROM ")[1:]
    assert "'.[serve,gpu,redis]'" in packages
    assert "'.[ingest]'" in ingest_packages
    for stage in (engines, ingest, server):
        assert "USER 1000:1000" in stage
    # Nothing is installed in the last stages: what they have comes from the others.
    for stage, source in ((server, "packages"), (ingest, "ingest-packages")):
        assert "pip" not in stage
        assert f"COPY --from={source} " in stage


def test_pythons_of_the_image_find_the_packages_before_their_own(tmp_path: Path):
    """The line that the image writes, in an environment of this Python that has packages of the same names."""
    (line,) = re.findall(r"^RUN python3 -c (\".*\")$", DOCKERFILE.read_text("utf-8"), re.M)
    venv.create(tmp_path / "image", with_pip=False)
    python = tmp_path / "image" / "bin" / "python3"
    packages = tmp_path / "packages"
    for folder, text in ((packages, "ours"), (Path(_site(python)), "the image's")):
        folder.mkdir(exist_ok=True)
        (folder / "shared_name.py").write_text(f'OF = "{text}"', "utf-8")
    subprocess.run(f"{python} -c {line.replace('/opt/fuserank', str(packages))}", shell=True, check=True)
    asked = "import shared_name; print(shared_name.OF)"
    # -E as the embedded interpreter: it ignores the environment.
    done = subprocess.run([str(python), "-E", "-c", asked], check=True, capture_output=True, text=True)
    assert done.stdout == "ours\n"


def _site(python: Path) -> str:
    asked = "import site; print(site.getsitepackages()[0])"
    return subprocess.run([str(python), "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
