"""Resolves what the images of k8s/Dockerfile install, for their Python and as wheels; fails where one is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from install import configured, uv_environment

ROOT = Path(__file__).parents[1]
PYTHON = "3.12"  # of NVIDIA's images and of the slim one


def main() -> int:
    """Returns the exit status of uv, whose message names what cannot be resolved."""
    dockerfile = (ROOT / "k8s" / "Dockerfile").read_text("utf-8")
    extras = {extra for group in re.findall(r"'\.\[([a-z,]+)\]'", dockerfile) for extra in group.split(",")}
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--python-version", PYTHON]
    command += ["--only-binary", ":all:", "--no-binary", "jieba"]  # as the Dockerfile has it
    command += ["--constraint", "requirements/dev.lock", "--constraint", "requirements/torch.txt", "pyproject.toml"]
    command += [word for extra in sorted(extras) for word in ("--extra", extra)]
    environment = uv_environment(configured())
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, stdout=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
