"""Installs a hashed lock, torch and this project into the environment of the Python that runs this file.

uv installs, from wherever pip is configured to look; where uv cannot, pip does the same more slowly. torch comes
last and without a hash: its builds for CPUs and for GPUs have one version and several files, and the machine decides.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
LINE_SECONDS = 15.0
PIP = [sys.executable, "-m", "pip"]
UV = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, "--no-config"]
# pip looks in all of its sources at once and takes the best version; uv does so when asked.
UV_SOURCES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}


def pip_settings(listed: str) -> dict[str, str]:
    """Reads what `pip config list` prints: values by option, those of the environment before those of files."""
    levels: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        level, _, option = name.partition(".")
        if level in levels and value:
            levels[level][option] = str(ast.literal_eval(value))
    return levels["global"] | levels["install"] | levels[":env:"]


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """Turns pip's sources and certificates into uv's environment variables; a variable that is set already stays."""
    wanted = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_HTTP_RETRIES": "1"}
    for option, variable in UV_SOURCES.items():
        if option in settings:
            separator = "," if variable == "UV_FIND_LINKS" else " "
            wanted[variable] = separator.join(settings[option].split())
    if "cert" in settings:
        wanted["SSL_CERT_FILE"] = settings["cert"]
    return wanted | dict(os.environ)


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> bool:
    """Runs a command, with a line every 15 seconds that it goes on, and says whether it succeeded."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            return process.wait(LINE_SECONDS) == 0
        except subprocess.TimeoutExpired:
            print(f"… installing ({time.monotonic() - started:.0f} s)", flush=True)  # noqa: T201  for whoever waits


def configured() -> dict[str, str]:
    """Reads what pip is set to on this machine."""
    return pip_settings(subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout)


def install(lock: Path) -> bool:
    """Installs everything; says whether it could."""
    settings = configured()
    environment = uv_environment(settings)
    locked = ["--no-deps", "--require-hashes", "--requirement", str(lock)]
    torch = ["--requirement", str(REQUIREMENTS / "torch.txt")]
    project = ["--no-deps", "--no-build-isolation", "--editable", str(REQUIREMENTS.parent)]
    pip = [*PIP, "install", "--disable-pip-version-check", "--no-compile"]
    if run([*pip, "--quiet", "--require-hashes", "--requirement", str(REQUIREMENTS / "uv.lock")]):
        # Where nobody has said which torch, uv takes the build for this machine's GPU or for its CPU.
        chosen = () if settings.keys() & {"index-url", "extra-index-url", "find-links"} else ("--torch-backend=auto",)
        if (
            run([*UV, *locked], environment)
            and (run([*UV, *chosen, *torch], environment) or (bool(chosen) and run([*UV, *torch], environment)))
            and run([*UV, *project], environment)
        ):
            return True
    sys.stderr.write("uv could not install (see above): pip does, which takes a few minutes longer\n")
    return all(run([*pip, "--progress-bar", "on", *what]) for what in (locked, torch, project))


def main() -> None:
    """Installs the lock that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path, help="a lock with hashes, such as requirements/demo.lock")
    sys.exit(not install(parser.parse_args().lock))


if __name__ == "__main__":
    main()
