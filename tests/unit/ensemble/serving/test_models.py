"""Which models of a bundle a server loads."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.serving.models import check_without, link_models, served_models
from support.running import BESIDE, OF_STATE, STAGES


@pytest.mark.parametrize(
    ("target", "has_state", "without", "served"),
    [
        ("single_process", False, (), {"search", "encoder", "retrieve", *BESIDE}),
        ("single_process", True, (), {"search", "encoder", "retrieve", *BESIDE, *OF_STATE}),
        ("single_process", False, BESIDE, {"search"}),
        ("single_process", True, BESIDE, {"search", "encoder", *OF_STATE}),
        ("single_process", False, ("similar",), {"search", "encoder", "suggest", "embed", "rerank"}),
        ("ensemble_cpu", False, ("embed", "rerank"), {"search", *STAGES, "similar", "suggest"}),
        ("ensemble_cpu", True, BESIDE, {"search", *STAGES, *OF_STATE}),
        ("single_process", True, (*BESIDE, "catalog", "profile"), {"search", "record"}),
        ("single_process", False, ("record",), {"search", "encoder", "retrieve", *BESIDE}),
    ],
)
def test_what_is_left_out_takes_along_what_only_it_calls(tiny_bundle, target, has_state, without, served):
    bundle = Bundle.open(tiny_bundle, verify=())
    assert served_models(bundle, target, has_state=has_state, without=without) == served


def test_code_that_the_export_did_not_write_is_not_run(tiny_bundle, tmp_path):
    """Python would take bytecode beside `model.py` for that file's, and would write it there."""
    root = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    planted = root / "model_repository" / "search" / "1" / "__pycache__" / "model.cpython-311.pyc"
    planted.parent.mkdir()
    planted.write_bytes(b"code")
    link_models(Bundle.open(root), "single_process", tmp_path / "models", has_state=False)
    version = tmp_path / "models" / "search" / "1"
    assert (version / "model.py").samefile(root / "model_repository" / "search" / "1" / "model.py")
    assert [path.name for path in version.iterdir()] == ["model.py"]
    # What Python writes beside it does not go into the bundle.
    assert not version.is_symlink()


@pytest.mark.parametrize("name", ["search", "encoder", "embd", ""])
def test_a_model_that_cannot_be_left_out_is_refused_with_those_that_can(name):
    message = f"--without: found {name}; allowed: {', '.join((*BESIDE, *OF_STATE))}"
    with pytest.raises(BundleError, match=re.escape(message)):
        check_without(["embed", name])
