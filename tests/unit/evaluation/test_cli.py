"""What a measuring command says where what it measures is not there."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_ensemble import bundle
from fuserank_evaluation.cli import app


@pytest.mark.parametrize("command", ["retrieval", "ranking", "windows", "films", "shoppers"])
def test_a_bundle_that_is_not_there_is_named_with_the_remedy(command, tmp_path):
    answer = CliRunner().invoke(app, [command, "--bundle", str(tmp_path / "none")])
    assert answer.exit_code == 2
    assert "error: --bundle: " in answer.output
    assert "make demo" in answer.output
    assert "Traceback" not in answer.output


def test_a_bundle_of_another_format_is_named_with_the_remedy(tmp_path):
    (tmp_path / bundle.MANIFEST).write_text(json.dumps({"format": 1}), "utf-8")
    answer = CliRunner().invoke(app, ["ranking", "--bundle", str(tmp_path)])
    assert answer.exit_code == 2
    assert f"format is 1, this version reads {bundle.FORMAT}; export the bundle again" in answer.output


@pytest.mark.parametrize("command", ["retrieval", "ranking", "windows", "replay"])
def test_a_log_that_is_not_there_is_named_with_the_remedy(command, tmp_path, monkeypatch):
    monkeypatch.setattr("fuserank_evaluation.cli.Bundle.open", lambda *_, **__: None)
    answer = CliRunner().invoke(app, [command, "--shop", str(tmp_path)])
    assert answer.exit_code == 2
    assert "error: --shop: " in answer.output
    assert "fuserank export complete-journey" in answer.output
