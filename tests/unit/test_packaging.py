"""An installation works outside the checkout, holds what a clone has, and takes no name that is somebody else's."""

from __future__ import annotations

import json
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from support.installation import GENERIC, ROOT, build, install, run, sdist_in, tracked_files, wheel_in
from support.once import made_once

ROOMS = {
    "client/fuserank": "fuserank",
    "ensemble/fuserank_ensemble": "fuserank_ensemble",
    "export/fuserank_export": "fuserank_export",
    "benchmarks/fuserank_benchmarks": "fuserank_benchmarks",
    "evaluation/fuserank_evaluation": "fuserank_evaluation",
}
pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="not a git checkout: nothing says which files are tracked"
)


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    return tracked_files()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sdist, and of the wheel that was built from it."""
    return made_once(tmp_path_factory, "distributions", build)


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    return wheel_in(distributions)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that has the wheel."""
    return install(wheel, tmp_path_factory.mktemp("installed") / "environment")


def test_the_sdist_is_this_projects_and_has_what_pages_of_it_show(distributions: Path):
    with tarfile.open(sdist_in(distributions)) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"} <= held


def test_the_wheel_holds_every_file_of_every_room(wheel: Path, tracked: list[str]):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for folder, package in ROOMS.items():
        wanted = {package + path.removeprefix(folder) for path in tracked if path.startswith(f"{folder}/")}
        assert wanted, folder
        assert wanted - held == set(), folder


def test_the_wheel_installs_no_package_of_a_generic_name(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(ROOMS.values())


def test_packages_of_generic_names_stay_somebody_elses(installed: Path, tmp_path: Path):
    script = f"""
import importlib, json, sys
import fuserank, fuserank_ensemble, fuserank_export
ours = {{module.__name__: module.__file__ for module in (fuserank, fuserank_ensemble, fuserank_export)}}
owners = {{name: importlib.import_module(name).OWNER for name in {GENERIC!r}}}
print(json.dumps([ours, owners]))
"""
    ours, owners = json.loads(run(installed / "python", "-c", script, cwd=tmp_path))
    assert owners == dict.fromkeys(GENERIC, "somebody else")
    for name, file in ours.items():
        assert Path(file).is_relative_to(installed.parent), name


def test_the_command_works_outside_the_checkout(installed: Path, tmp_path: Path):
    listed = run(installed / "fuserank", "--help", cwd=tmp_path)
    assert {"search", "serve", "export"} <= set(listed.replace("│", " ").split())
    assert "bundle" in run(installed / "fuserank", "export", "--help", cwd=tmp_path).split()


def test_the_citation_names_the_version_that_is_built():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    built = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert cited is not None
    assert cited[1] == built
