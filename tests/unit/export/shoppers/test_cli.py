"""The command that chooses shoppers reads a log as an export does, and names mistakes."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from fuserank_export.cli import app


@pytest.fixture
def run(tiny_bundle):
    def ran(log, *more):
        given = ["shoppers", "--bundle", tiny_bundle, "--interactions", log, *more]
        return CliRunner().invoke(app, [str(part) for part in given], env={"COLUMNS": "1000"})

    return ran


def test_a_log_with_names_of_its_own_is_read_with_the_options_of_an_export(run, tiny_shop, tmp_path):
    log, config, out = tmp_path / "log.csv", tmp_path / "shop.toml", tmp_path / "new" / "shoppers.json"
    with tiny_shop.interactions.open(encoding="utf-8") as stream:
        rows = [{**row, "kunde": row.pop("user_id")} for row in csv.DictReader(stream)]
    rows += [dict.fromkeys(rows[0], "?")] * (len(rows) // 10)
    with log.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    config.write_text('[interactions.columns]\nuser_id = "kunde"\n', "utf-8")
    refused = run(log, "--config", config, "--out", out)
    assert refused.exit_code == 2
    assert "are bad; allowed: 5.0%" in refused.output
    assert not out.parent.exists()
    result = run(log, "--config", config, "--max-bad-rows", "0.2", "--out", out)
    assert result.exit_code == 0, result.output
    chosen = [shopper["user_id"] for shopper in json.loads(out.read_text("utf-8"))]
    assert len(set(chosen)) == len(chosen) > 0


def test_nobody_cannot_be_chosen_and_a_log_without_habits_is_named(run, tiny_shop, tmp_path):
    out = tmp_path / "shoppers.json"
    assert run(tiny_shop.interactions, "--count", "0", "--out", out).exit_code == 2
    log = tmp_path / "few.csv"
    log.write_text("user_id,item_id,event,timestamp\nu1,i00,purchase,1650000000\n", "utf-8")
    few = run(log, "--out", out)
    assert few.exit_code == 2
    assert "no user has 20 events of items with a category" in few.output
    assert not out.exists()
