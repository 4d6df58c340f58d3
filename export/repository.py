"""Writes the model repository: configurations from the spec, and each stage's `model.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

import model_repository
from ensemble.spec import GraphSpec
from export.model_config import ENGINE_FILES, config_files

# The checked-in repository: the spec's default output, and the source of every stage's `model.py`.
CHECKED_IN = Path(model_repository.__file__).parent


def write_configs(folder: Path, spec: GraphSpec, cpu_engine: str = ENGINE_FILES["cpu"]) -> None:
    """Writes every `config.pbtxt` below `folder`."""
    for name, text in config_files(spec, cpu_engine):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def write_repository(folder: Path, spec: GraphSpec, cpu_engine: str = ENGINE_FILES["cpu"]) -> None:
    """Writes a repository that lacks only its engines.

    Args:
        folder: Where to write; engines may be there already.
        spec: The graph.
        cpu_engine: The engine file that the encoder uses on a CPU.
    """
    for source in CHECKED_IN.glob("*/1/model.py"):
        target = folder / source.relative_to(CHECKED_IN)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    # Triton wants a version folder even where nothing is in it.
    (folder / "search" / "1").mkdir(parents=True, exist_ok=True)
    (folder / "search" / "1" / ".keep").touch()
    write_configs(folder, spec, cpu_engine)
