"""What an installation gets is what a clone has: nothing that serving needs stays behind in the repository."""

import shutil
import subprocess
import sys
import zipfile
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


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout: nothing says which files are tracked")
def test_the_wheel_holds_every_file_of_every_room(tmp_path):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]
    clone = tmp_path / "clone"  # setuptools leaves its work in the folder that it builds from
    for path in tracked:
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, clone / path)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, clone]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("fuserank-*.whl"))) as wheel:
        held = set(wheel.namelist())
    for folder, package in ROOMS.items():
        wanted = {package + path.removeprefix(folder) for path in tracked if path.startswith(f"{folder}/")}
        assert wanted, folder
        assert wanted - held == set(), folder
