"""An installation works outside the checkout, holds what a clone has, and takes no name that is somebody else's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "client/fuserank": "fuserank",
    "ensemble/fuserank_ensemble": "fuserank_ensemble",
    "export/fuserank_export": "fuserank_export",
    "benchmarks/fuserank_benchmarks": "fuserank_benchmarks",
    "evaluation/fuserank_evaluation": "fuserank_evaluation",
}
# The checkout's folders: names that any environment may hold already.
GENERIC = ("benchmarks", "client", "ensemble", "evaluation", "export", "model_repository", "tests", "tools")
pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="not a git checkout: nothing says which files are tracked"
)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Runs a command that must succeed; returns what it prints."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    return [path for path in run("git", "ls-files", cwd=ROOT).splitlines() if (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def wheel(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once from a copy: setuptools leaves its work in the folder that it builds from."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked:
        (folder / "clone" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / "clone" / path)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, folder / "clone")
    return next(folder.glob("fuserank-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, somebody else's packages of generic names, and this one's dependencies.

    Returns:
        Its `bin` folder.
    """
    folder = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in GENERIC:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("OWNER = 'somebody else'\n", "utf-8")
    # A folder that a .pth file names is searched, and its own .pth files are not read: no checkout comes with it.
    specs = (find_spec(name) for name in ("typer", "numpy"))
    dependencies = {str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin}
    (site / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n", "utf-8")
    return folder / "bin"


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
