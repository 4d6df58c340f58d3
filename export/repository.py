"""Writes the model repository: configurations from the spec, and each stage's `model.py`."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import MappingProxyType

import model_repository
from ensemble.spec import GraphSpec
from export.model_config import EngineFiles, config_files

# The checked-in repository: the spec's default output, and the source of every stage's `model.py`.
CHECKED_IN = Path(model_repository.__file__).parent


def write_configs(
    folder: Path, spec: GraphSpec, engines: EngineFiles = MappingProxyType({}), heavy: bool = True
) -> None:
    """Writes every `config.pbtxt` below `folder`; the rest is as `config_files` takes it."""
    for name, text in config_files(spec, engines, heavy):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def write_repository(
    folder: Path, spec: GraphSpec, engines: EngineFiles = MappingProxyType({}), heavy: bool = True
) -> None:
    """Writes a repository that lacks only its engines.

    Args:
        folder: Where to write; engines may be there already.
        spec: The graph.
        engines: Engine files by target and stage, where they are not those of `ENGINE_FILES`.
        heavy: Whether a text tower takes its time, see `RankerCost.heavy`.
    """
    for source in CHECKED_IN.glob("*/1/model.py"):
        target = folder / source.relative_to(CHECKED_IN)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    write_configs(folder, spec, engines, heavy)
