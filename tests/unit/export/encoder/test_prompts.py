"""An encoder's prompts stand before queries and items, or a note says why they do not."""

from __future__ import annotations

import json
import shutil

import pytest

from fuserank_ensemble.catalog.text import query_text, render
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.encoder.load import load_encoder
from fuserank_export.encoder.prompts import Prompts, choose_templates

QUERY, TEXT = GraphSpec.query_template, "{title} | {brand}"


def test_prompts_stand_before_queries_and_items_as_the_encoder_was_trained():
    chosen = choose_templates(Prompts({"query": "ask: ", "document": "{thing}: "}), QUERY, TEXT)
    assert query_text(chosen.query, "red lamp") == "ask: red lamp"
    assert render(chosen.text, {"title": "Lamp", "brand": "Tarn"}) == "{thing}: Lamp. Tarn"
    assert [note for note in chosen.notes if "'ask: '" in note]
    assert [note for note in chosen.notes if "'{thing}: '" in note]


@pytest.mark.parametrize("name", ["document", "passage", "corpus"])
def test_an_items_prompt_has_one_of_three_names(name):
    chosen = choose_templates(Prompts({name: "item: "}), QUERY, TEXT)
    assert (chosen.query, chosen.text) == (QUERY, "item: {title} | {brand}")


def test_a_default_prompt_stands_before_what_has_none_of_its_own():
    chosen = choose_templates(Prompts({"query": "ask: ", "any": "text: "}, "any"), QUERY, TEXT)
    assert (chosen.query, chosen.text) == ("ask: {query}", "text: {title} | {brand}")


def test_what_was_asked_for_stays_and_a_note_says_so():
    chosen = choose_templates(Prompts({"query": "ask: "}), "find {query}", TEXT)
    assert chosen.query == "find {query}"
    assert "'ask: ' is not used: --query-template is 'find {query}'" in chosen.notes[0]
    given = choose_templates(Prompts({"query": "ask: ", "passage": "item: "}), "ask: {query}", "item: {title}")
    assert (given.query, given.text, given.notes) == ("ask: {query}", "item: {title}", ())


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        (Prompts({"query": "ask: "}, is_pooled=False), "out of pooling"),
        (Prompts({"s2s": "Instruct: "}), "(s2s) are not used: none is called query or document"),
        (Prompts({"document": "a | b: "}), "parts segments"),
    ],
)
def test_prompts_that_cannot_be_used_are_left_out_and_a_note_says_why(prompts, reason):
    chosen = choose_templates(prompts, QUERY, TEXT)
    assert (chosen.query, chosen.text) == (QUERY, TEXT)
    assert reason in chosen.notes[0]


def test_an_encoder_without_prompts_is_asked_as_ever():
    for none in (Prompts(), Prompts({"query": "", "document": ""})):
        assert choose_templates(none, QUERY, TEXT) == choose_templates(Prompts(), QUERY, TEXT)
        assert choose_templates(none, QUERY, TEXT).notes == ()


def test_prompts_are_read_from_the_encoders_folder(tiny_encoder, tmp_path):
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    assert load_encoder(str(folder)).prompts == Prompts()
    settings = {"prompts": {"query": "ask: ", "document": ""}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    assert load_encoder(str(folder)).prompts == Prompts({"query": "ask: "})
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"include_prompt": False}))
    assert not load_encoder(str(folder)).prompts.is_pooled
