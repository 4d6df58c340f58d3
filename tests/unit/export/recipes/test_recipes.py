"""Every recipe exports as its configuration says, and answers as a person would expect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.cli import app

RECIPES = Path(__file__).resolve().parents[4] / "examples" / "recipes"
NAMES = sorted(folder.name for folder in RECIPES.iterdir() if folder.is_dir())


def answer(graph, request):
    """The ids and the fields of a request's answer."""
    options = request.get("options", {})
    if "similar" in request:
        reply = graph.similar(request["similar"], **options)
    else:
        reply = graph.search(request.get("query", ""), request.get("user", ""), **options)
    pairs = zip(reply["ITEM_ID"][0], reply["ITEM"][0], strict=True)
    return {item.decode(): json.loads(raw)["fields"] for item, raw in pairs if item}


def test_there_is_a_recipe_of_each_kind():
    assert NAMES == ["ads", "courses", "help-desk", "news", "second-hand", "video"]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_answers_as_a_person_expects(name, little_effort, tiny_encoder, tmp_path):
    words = ["bundle", "--config", str(RECIPES / name / "shop.toml"), "--encoder", str(tiny_encoder)]
    quick = ["--quality", "quick", "--feature", "none", "--out", str(tmp_path / "bundle")]
    done = CliRunner().invoke(app, [*words, *quick], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    graph = LocalGraph(Bundle.open(tmp_path / "bundle", verify=()))
    for request in json.loads((RECIPES / name / "requests.json").read_text("utf-8")):
        items = answer(graph, request)
        says = f"{request['says']}: {items}"
        assert items, says
        if "first" in request:
            assert next(iter(items)) in request["first"], says
        assert set(request.get("has", ())) <= set(items), says
        assert not set(request.get("never", ())) & set(items), says
        for field, value in request.get("fields", {}).items():
            assert next(iter(items.values()))[field] == value, says
