"""What guided fuzzing begins with shows no fault, and a fault in what is fuzzed is seen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.understanding.query import QueryParser
from support import fuzz_targets
from support.fuzz_targets import TARGETS, check_catalog, check_manifest, check_options, manifests
from support.fuzzing import cases
from support.manifests import manifest


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_begins_with_shows_no_fault(name):
    target = TARGETS[name]
    for seed in target.seeds:
        target.check(seed)


@given(manifests())
@cases(60)
def test_a_manifest_is_read_or_refused(value):
    check_manifest(value)


def break_it(*arguments, **named):
    raise KeyError("spec")


@pytest.mark.parametrize(
    ("owner", "name", "check", "value"),
    [
        (QueryParser, "parse", TARGETS["queries"].check, b"milk under $5"),
        (Bundle, "open", check_manifest, manifest()),
        (fuzz_targets, "PARSERS", check_options, b"{}"),
        (fuzz_targets, "read_catalog", check_catalog, b"\0item_id,title\n1,a\n"),
    ],
)
def test_an_error_that_is_no_refusal_is_a_fault(monkeypatch, owner, name, check, value):
    check(value)
    monkeypatch.setattr(owner, name, (break_it,) if name == "PARSERS" else break_it)
    with pytest.raises(KeyError):
        check(value)


def test_a_hidden_row_is_a_fault(monkeypatch):
    read = fuzz_targets.read_catalog

    def forget(path, **options):
        catalog = read(path, **options)
        catalog.report.read += 1
        return catalog

    monkeypatch.setattr(fuzz_targets, "read_catalog", forget)
    with pytest.raises(AssertionError):
        check_catalog(b"\1" + json.dumps({"item_id": "1", "title": "a"}).encode())
