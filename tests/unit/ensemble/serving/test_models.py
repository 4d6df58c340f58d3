"""Which models of a bundle a server loads."""

from __future__ import annotations

import re

import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.serving.models import check_without, served_models
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


@pytest.mark.parametrize("name", ["search", "encoder", "embd", ""])
def test_a_model_that_cannot_be_left_out_is_refused_with_those_that_can(name):
    message = f"--without: found {name}; allowed: {', '.join((*BESIDE, *OF_STATE))}"
    with pytest.raises(BundleError, match=re.escape(message)):
        check_without(["embed", name])
