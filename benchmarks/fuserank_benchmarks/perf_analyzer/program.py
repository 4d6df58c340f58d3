"""Finds the program perf_analyzer on PATH, or downloads it and unpacks it into a folder; nothing is installed."""

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
    """perf_analyzer cannot be downloaded, or failed; the message says why and what to do."""


@dataclass(frozen=True)
class Program:
    """perf_analyzer and the folders of libraries that it needs beside the system's."""

    path: Path
    libraries: tuple[Path, ...] = ()

    def environment(self) -> dict[str, str]:
        """Returns the process's environment variables, with those folders first in `LD_LIBRARY_PATH`."""
        folders = [str(folder) for folder in self.libraries]
        inherited = [value for value in (os.environ.get("LD_LIBRARY_PATH"),) if value]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, *inherited])}


def find_perf_analyzer(folder: Path) -> Program:
    """Returns perf_analyzer from PATH, from a folder, or downloads it into that folder.

    Args:
        folder: Where it is unpacked, or was by an earlier call.

    Raises:
        PerfAnalyzerError: Where it cannot be downloaded; the message says what to install.
    """
    if on_path := shutil.which(NAME):
        return Program(Path(on_path))
    if not _find_file(folder, NAME):
        _download(folder)
    program = _find_file(folder, NAME)
    if program is None:
        raise PerfAnalyzerError(f"{NAME}: not in {WHEELS[0]}, which was unpacked to {folder}; {_install_hint()}")
    program.chmod(0o755)
    libraries = [_find_file(folder, name) for name in (LIBRARY, "libcudart.so.12")]
    return Program(program, tuple(path.parent for path in libraries if path))


def _find_file(folder: Path, name: str) -> Path | None:
    return next((path.resolve() for path in sorted(folder.rglob(name)) if path.is_file()), None)


def _download(folder: Path) -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise PerfAnalyzerError(
            f"{NAME}: not on PATH, and fetched only for Linux on x86_64; found {platform.system()} on "
            f"{platform.machine()}; {_install_hint()}"
        )
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise PerfAnalyzerError(f"{NAME}: not on PATH, and no apt-get for {DEBIAN_PACKAGE}; {_install_hint()}")
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
            names = [name for name in files.namelist() if name.endswith(f"/{NAME}") or "/libcudart.so" in name]
            files.extractall(folder, names)
    shutil.rmtree(downloads)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last_line = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise PerfAnalyzerError(f"{NAME}: `{' '.join(command[:4])} …` failed: {' '.join(last_line)}; {_install_hint()}")


def _install_hint() -> str:
    return (
        "where a Debian package was not found, run apt-get update; or put "
        f"{NAME} on PATH (PyPI perf-analyzer where glibc is 2.38 or newer, else the NGC image "
        "nvcr.io/nvidia/tritonserver:<release>-py3-sdk)"
    )
