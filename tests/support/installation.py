"""The source distribution and the wheel of this checkout, and an environment that has the wheel installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The checkout's folders: names that any environment may hold already.
GENERIC = ("benchmarks", "client", "ensemble", "evaluation", "export", "model_repository", "tests", "tools")
# The hook of PEP 517 that `python -m build` calls. The environment's own setuptools builds: nothing is downloaded.
BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Runs a command that must succeed; returns what it prints."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked_files() -> list[str]:
    """The files that a clone has."""
    return [path for path in run("git", "ls-files", cwd=ROOT).splitlines() if (ROOT / path).is_file()]


def build(folder: Path) -> None:
    """Builds the sdist, from a copy of the clone since setuptools leaves its work there, and from it the wheel."""
    for path in tracked_files():
        (folder / "clone" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / "clone" / path)
    run(sys.executable, "-c", BUILD_SDIST, folder, cwd=folder / "clone")
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    sdist = sdist_in(folder)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", folder, sdist, cwd=folder)


def sdist_in(folder: Path) -> Path:
    return next(folder.glob("fuserank-*.tar.gz"))


def wheel_in(folder: Path) -> Path:
    return next(folder.glob("fuserank-*.whl"))


def install(wheel: Path, folder: Path) -> Path:
    """Makes an environment of the wheel, somebody else's packages of generic names, and this one's dependencies.

    Returns:
        Its `bin` folder.
    """
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
