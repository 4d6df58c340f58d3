"""Exports from the command line, and the mistakes that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.state.settings import State, StateSettings


def ids(graph, query="", user="", **options):
    return [item.decode() for item in graph.search(query, user, **options)["ITEM_ID"][0]]


def test_the_command_line_exports_a_shop_and_says_what_it_made(run, little_effort, tiny_shop, tiny_encoder, tmp_path):
    out = tmp_path / "new folder" / "my shop"
    result = run(
        "bundle", "--catalog", tiny_shop.catalog, "--interactions", tiny_shop.interactions, "--encoder", tiny_encoder,
        "--out", out, "--clock", "wall", "--query-template", "q: {query}", "--quality", "quick", "--epochs", "1",
        "--mixed-precision",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(out)
    assert f"bundle {bundle.id} at {out}: 60 items, 60 texts, 12 users, 1,440 events" in result.output
    assert bundle.spec.clock == "wall"
    assert bundle.spec.query_template == "q: {query}"
    assert {round(entry["epoch"]) for entry in bundle.manifest["ranker"]["losses"]} == {1}
    again = run("bundle", "--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", out)
    assert again.exit_code == 2
    assert "exists already" in again.output
    assert Bundle.open(out).id == bundle.id


def test_the_command_line_needs_no_log(run, one_item, tiny_encoder, tmp_path):
    result = run("bundle", "--catalog", one_item, "--encoder", tiny_encoder, "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert "1 items, 1 texts, 0 users, 0 events" in result.output
    assert "too little log (0 events)" in result.output


def test_the_command_line_takes_judged_queries(run, little_effort, tiny_shop, tiny_encoder, tmp_path):
    queries, judgements = tmp_path / "queries.tsv", tmp_path / "judgements.tsv"
    texts = sorted({word for row in tiny_shop.items.values() for word in row["title"].split()})
    queries.write_text("".join(f"q{i}\t{word}\n" for i, word in enumerate(texts)), "utf-8")
    judged = [(i, item, word in row["title"]) for i, word in enumerate(texts) for item, row in tiny_shop.items.items()]
    judgements.write_text("".join(f"q{i} 0 {item} {int(right)}\n" for i, item, right in judged), "utf-8")
    out = tmp_path / "judged"
    result = run(
        "bundle", "--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", out,
        "--queries", queries, "--judgements", judgements, "--quality", "quick", "--epochs", "1", "--candidates", "32",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"{judgements}: {len(judged):,} rows read" in result.output
    bundle = Bundle.open(out)
    assert bundle.spec.candidates == 32
    ranker = bundle.manifest["ranker"]
    assert ranker["source"] == "judgements"
    # A fifth of the queries is held out, for whoever wants to measure.
    assert ranker["judged_queries"] == ranker["cases"] + ranker["validation_cases"] == len(texts) * 8 // 10


BAD_ARGUMENTS = {
    "a catalogue that is not there": ({"--catalog": "/nowhere/items.csv"}, "/nowhere/items.csv"),
    "a log that is not there": ({"--interactions": "/nowhere/events.csv"}, "/nowhere/events.csv"),
    "an encoder that is not there": ({"--encoder": "/nowhere/encoder"}, "no such folder"),
    "a template with an unknown field": ({"--text-template": "{titel}"}, "did you mean 'title'?"),
    "a template with an open brace": ({"--text-template": "{title"}, "template"),
    "a template that formats a text as a number": ({"--text-template": "{price:.2f} | {title}"}, "template"),
    "a template without a field's name": ({"--text-template": "{}"}, "template"),
    "a query template without the query": ({"--query-template": "query: "}, "{query}"),
    "an unknown precision": ({"--precision": "fp8"}, "fp8"),
    "a number of candidates that is no bucket": ({"--candidates": "100"}, "allowed: one of (32, 64, 128, 256)"),
    "queries without judgements": ({"--queries": "queries.tsv"}, "allowed: both or neither"),
    "a share above one": ({"--max-bad-rows": "1.5"}, "--max-bad-rows"),
    "a log of live events that is not there": ({"--state": "sqlite:nowhere/log.sqlite"}, "there is no such log"),
    "a key that is not there": ({"--state-key-file": "/nowhere/key"}, "/nowhere/key"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_a_mistake_on_the_command_line_ends_with_one_line_and_nothing_written(
    run, tiny_shop, tiny_encoder, tmp_path, name
):
    changed, text = BAD_ARGUMENTS[name]
    out = tmp_path / "b"
    values = {"--catalog": tiny_shop.catalog, "--encoder": tiny_encoder, "--out": out} | changed
    result = run("bundle", *[part for pair in values.items() for part in pair])
    assert result.exit_code == 2, repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert text in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_log_without_its_key_is_refused_and_gets_no_other_one(run, tiny_shop, tiny_encoder, tmp_path):
    log = tmp_path / "log.sqlite"
    State.open(StateSettings(f"sqlite:{log}")).log.close()
    key = tmp_path / "log.sqlite.key"
    key.unlink()
    given = ("--catalog", tiny_shop.catalog, "--encoder", tiny_encoder, "--out", tmp_path / "b")
    result = run("bundle", *given, "--state", f"sqlite:{log}")
    assert result.exit_code == 2
    assert f"found no key at {key}; name the log's key with --state-key-file" in result.output
    assert not key.exists()


def test_help_shows_an_example_of_each_command(run):
    for command in ("bundle", "complete-journey", "repository"):
        assert f"Example: fuserank export {command} --" in " ".join(run(command, "--help").output.split())


def test_the_repository_command_writes_what_is_checked_in(run, tmp_path):
    assert run("repository", "--out", tmp_path).exit_code == 0
    checked_in = Path(__file__).parents[4] / "model_repository"
    for path in tmp_path.rglob("*.pbtxt"):
        assert path.read_bytes() == (checked_in / path.relative_to(tmp_path)).read_bytes()
