"""What a shop says of its words and codes, and what its encoder knows of them, holds from the files to the answers."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.cli import app
from support.exporting import export_quickly
from support.tiny_shop import write_csv

TOOLS = [
    {"item_id": "t1", "title": "Hinge, brass", "sku": "KLM-9017", "material": "brass", "shelf": "A-77"},
    {"item_id": "t2", "title": "Hinge, steel", "sku": "KLM-9018", "material": "steel", "shelf": "A-78"},
    {"item_id": "t3", "title": "Café table ½ m", "sku": "TBL-100", "material": "teak", "shelf": "B-1"},
    {"item_id": "t4", "title": "Bench", "sku": "BNC-200", "material": "wenge", "shelf": "B-2"},
    {"item_id": "t5", "title": "Vorelo™ oil for teak", "sku": "OIL-9017", "material": "", "shelf": "C-1"},
]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("tools") / "tools.csv", TOOLS)


def run_export(catalog, encoder, out, *options):
    arguments = ["bundle", "--catalog", catalog, "--encoder", encoder, "--out", out, *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "1000"})


def ids(graph, query):
    return [item.decode() for item in graph.search(query, "")["ITEM_ID"][0]]


def test_codes_of_the_shop_find_their_item_before_all_else(catalog, tiny_encoder, tmp_path):
    graph = LocalGraph(Bundle.open(export_quickly(catalog, tiny_encoder, tmp_path / "tools")))
    for query in ("KLM-9018", "klm9018", "KLM 9018", "t2"):
        assert ids(graph, query)[0] == "t2"
    assert set(ids(graph, "klm-90")[:2]) == {"t1", "t2"}
    assert ids(graph, "vorelo")[0] == "t5"
    item = json.loads(graph.search("tbl100", "", explain=True)["ITEM"][0][0])
    (reason,) = [signal["reason"] for signal in item["signals"] if signal["name"] == "lexical"]
    assert reason == "its code is or begins with “tbl100”"


def test_the_command_line_says_which_columns_are_searched_and_which_are_codes(catalog, tiny_encoder, tmp_path):
    out = tmp_path / "tools"
    result = run_export(catalog, tiny_encoder, out, "--lexical-fields", "title=3,material=2", "--code", "shelf")
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(out)
    assert bundle.spec.lexical_fields == {"title": 3.0, "material": 2.0}
    assert bundle.spec.code_fields == ("item_id", "shelf")
    graph = LocalGraph(bundle)
    assert ids(graph, "wenge")[0] == "t4"
    assert ids(graph, "a77")[0] == "t1"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--lexical-fields", "title=3,materiel=1", "did you mean 'material'?"),
        ("--lexical-fields", "title=high", "allowed: column=weight"),
        ("--code", "partno", "--code: names partno, which the catalogue has not"),
    ],
)
def test_a_column_that_is_not_there_is_refused(catalog, tiny_encoder, tmp_path, option, value, message):
    result = run_export(catalog, tiny_encoder, tmp_path / "tools", option, value)
    assert result.exit_code == 2
    assert message in result.output


def test_prompts_that_come_with_the_encoder_are_in_the_bundle(catalog, tiny_encoder, tmp_path):
    encoder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    prompts = {"prompts": {"query": "ask: ", "passage": "item: "}}
    (encoder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    spec = Bundle.open(export_quickly(catalog, encoder, tmp_path / "tools", text_template="{title}")).spec
    assert (spec.query_template, spec.text_template) == ("ask: {query}", "item: {title}")


def test_a_query_that_the_encoder_cannot_read_is_ordered_by_its_words(tiny_encoder, tmp_path):
    titles = ["不锈钢保温杯", "儿童雨靴", "露营帐篷", "儿童图画书", "steel bottle"]
    rows = [{"item_id": f"x{n}", "title": title} for n, title in enumerate(titles)]
    bundle = Bundle.open(export_quickly(write_csv(tmp_path / "chinese.csv", rows), tiny_encoder, tmp_path / "chinese"))
    assert bundle.spec.unread_scripts == ("han",)
    assert any("does not know han script" in warning for warning in bundle.manifest["embedding"]["warnings"])
    graph = LocalGraph(bundle)
    assert [ids(graph, title)[0] for title in ("帐篷", "雨靴", "保温杯", "图画书")] == ["x2", "x1", "x0", "x3"]
    assert len(ids(graph, "帐篷")) == len(rows)
    reply = graph.search("帐篷", "", k=5)
    assert json.loads(reply["STATUS"][0][0])["candidates"]["dense"] == 0
