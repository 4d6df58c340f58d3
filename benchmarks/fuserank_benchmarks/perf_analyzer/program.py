"""Where perf_analyzer comes from: the PATH, else packages unpacked beside the environment, nothing installed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = "perf_analyzer"
# The last wheel whose program runs on glibc 2.35, and the CUDA library that it is linked to, GPU or not.
WHEELS = ("tritonclient==2.50.0", "nvidia-cuda-runtime-cu12==12.3.101")
LIBRARY, DEBIAN_PACKAGE = "libb64.so.0d", "libb64-0d"


class PerfAnalyzerError(RuntimeError):
    """perf_analyzer cannot be had, or has failed; the message says why and what to do."""


@dataclass(frozen=True)
class Program:
    """perf_analyzer and the folders of libraries that it needs beside the system's."""

    path: Path
    libraries: tuple[Path, ...] = ()

    def environment(self) -> dict[str, str]:
        """The process's environment with those folders first."""
        folders = [str(folder) for folder in self.libraries]
        known = [value for value in (os.environ.get("LD_LIBRARY_PATH"),) if value]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, *known])}


def find(folder: Path) -> Program:
    """Finds perf_analyzer, or fetches it.

    Args:
        folder: Where it is unpacked, or was before.

    Raises:
        PerfAnalyzerError: Naming what was looked for and what to install.
    """
    if there := shutil.which(NAME):
        return Program(Path(there))
    if not _found(folder, NAME):
        _fetch(folder)
    program = _found(folder, NAME)
    if program is None:
        raise PerfAnalyzerError(f"{NAME}: not in {WHEELS[0]}, which was unpacked to {folder}; {_remedy()}")
    program.chmod(0o755)
    libraries = [_found(folder, name) for name in (LIBRARY, "libcudart.so.12")]
    return Program(program, tuple(path.parent for path in libraries if path))


def _found(folder: Path, name: str) -> Path | None:
    return next((path.resolve() for path in sorted(folder.rglob(name)) if path.is_file()), None)


def _fetch(folder: Path) -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise PerfAnalyzerError(
            f"{NAME}: not on PATH, and fetched only for Linux on x86_64; found {platform.system()} on "
            f"{platform.machine()}; {_remedy()}"
        )
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise PerfAnalyzerError(f"{NAME}: not on PATH, and no apt-get to fetch {DEBIAN_PACKAGE} with; {_remedy()}")
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    platforms = ["--python-version", "3.11", "--platform", "manylinux1_x86_64", "--only-binary=:all:"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *platforms, "--dest", "."]
    _run([*pip, *WHEELS], downloads)
    _run(["apt-get", "download", DEBIAN_PACKAGE], downloads)
    for package in downloads.glob("*.deb"):
        _run(["dpkg", "-x", package.name, str(folder.resolve())], downloads)
    for wheel in downloads.glob("*.whl"):
        with zipfile.ZipFile(wheel) as files:
            wanted = [name for name in files.namelist() if name.endswith(f"/{NAME}") or "/libcudart.so" in name]
            files.extractall(folder, wanted)
    shutil.rmtree(downloads)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise PerfAnalyzerError(f"{NAME}: `{' '.join(command[:4])} …` failed: {' '.join(said)}; {_remedy()}")


def _remedy() -> str:
    return (
        "where a Debian package was not found, run apt-get update; or put "
        f"{NAME} on PATH (PyPI perf-analyzer where glibc is 2.38 or newer, else the NGC image "
        "nvcr.io/nvidia/tritonserver:<release>-py3-sdk)"
    )
