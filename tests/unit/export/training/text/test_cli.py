"""The commands train from a shop's files, print the result, and end in one line on an input error."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fuserank_export.training.text.cli import app

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def judged(tiny_shop, tmp_path):
    """Queries for the shop's titles, their items judged right, another one wrong, and one that is gone."""
    queries, qrels = tmp_path / "queries.tsv", tmp_path / "qrels.tsv"
    rows = list(tiny_shop.items.values())[:20]
    queries.write_text("".join(f"q{i}\t{row['title']}\n" for i, row in enumerate(rows)), "utf-8")
    judgements = [f"q{i} 0 {row['item_id']} 1\nq{i} 0 {rows[i - 1]['item_id']} 0\n" for i, row in enumerate(rows)]
    qrels.write_text("".join(judgements) + "q1 0 gone 1\n", "utf-8")
    return ["--queries", str(queries), "--judgements", str(qrels)]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_tower_is_trained_from_judgements_and_unknown_items_are_counted(tiny_shop, tiny_encoder, judged, tmp_path):
    out = tmp_path / "tower"
    result = run(
        "text-tower", "--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", out, "--layers", 1,
        "--epochs", 2, *judged,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "1 of unknown items" in result.stderr
    assert "nDCG@10 on held-out queries: model" in result.stderr.replace("\n", " ")
    report = json.loads((out / "training.json").read_text())
    assert report["settings"]["layers"] == 1
    data = report["data"]
    assert (data["source"], data["unknown_items"]) == ("judgements", 1)
    assert data["split"] == {"train": 14, "validation": 2, "held_out": 4}


def test_an_encoder_is_trained_from_a_log(tiny_shop, tiny_encoder, tmp_path):
    out = tmp_path / "encoder"
    result = run(
        "encoder", "--catalog", tiny_shop.catalog, "--interactions", tiny_shop.interactions, "--encoder", tiny_encoder,
        "--out", out, "--before", "2024-05-01", "--epochs", "1",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "the log has 4 queries: others are made from categories and titles" in result.stderr.replace("\n", " ")
    assert (out / "modules.json").exists()


def test_zero_layers_train_nothing(tiny_shop, tiny_encoder, tmp_path):
    result = run(
        "text-tower", "--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", tmp_path / "t", "--layers", 0
    )
    assert result.exit_code == 0
    assert "no text tower" in result.stderr
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--queries", "queries.tsv"], "--queries and --judgements: found one of them; allowed: both or neither"),
        (["--before", "yesterday"], "--before: found 'yesterday'"),
        (["--encoder", "./none"], "--encoder './none': no such folder"),
        (["--text-template", "{tilte}"], "names {tilte}, which the catalogue has not"),
    ],
)
def test_an_input_error_ends_in_one_line(tiny_shop, tiny_encoder, tmp_path, changed, message):
    result = run(
        "text-tower", "--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", tmp_path / "t", *changed
    )
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr
