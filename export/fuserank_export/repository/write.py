"""Writes the model repository: configurations from the spec, and each Python stage's `model.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from fuserank_ensemble.spec import GraphSpec
from fuserank_export.repository.model_config import EngineFiles, config_files

# Module, below `fuserank_ensemble.graph`, and class of each Python model.
PYTHON_MODELS = {
    "preprocess": ("steps.preprocess", "Preprocess"),
    "retrieve": ("steps.retrieve", "Retrieve"),
    "finalize": ("steps.finalize", "Finalize"),
    "search": ("single_process", "SingleProcess"),
    "similar": ("steps.similar", "Similar"),
    "suggest": ("steps.suggest", "Suggest"),
    "embed": ("steps.embed", "Embed"),
    "rerank": ("steps.rerank", "Rerank"),
    "record": ("steps.record", "Record"),
    "catalog": ("steps.catalog", "Catalog"),
    "profile": ("steps.profile", "Profile"),
}
MODEL_PY = '''"""Triton's entry into the model `{name}`."""

from fuserank_ensemble.graph.{module} import {step}
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model({step})
'''


def model_files() -> Iterator[tuple[str, str]]:
    """Path within the repository and text of every `model.py`."""
    for name, (module, step) in PYTHON_MODELS.items():
        yield f"{name}/1/model.py", MODEL_PY.format(name=name, module=module, step=step)


def write_repository(
    folder: Path, spec: GraphSpec, engines: EngineFiles = MappingProxyType({}), heavy: bool = True
) -> None:
    """Writes a repository that lacks only its engines.

    Args:
        folder: Where to write; engines may be there already.
        spec: The graph.
        engines: Engine files by kind and stage, where they are not those of `ENGINE_FILES`.
        heavy: Whether a text tower takes its time, see `RankerCost.heavy`.
    """
    for name, text in (*model_files(), *config_files(spec, engines, heavy)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
