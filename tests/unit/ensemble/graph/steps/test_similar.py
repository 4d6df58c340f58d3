"""`similar` answers for items and texts alike, new ones too, and what one caller sends wrongly is its own affair."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.request import decode_requests
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.options import MAX_TEXT_BYTES
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.step import UnavailableError
from fuserank_ensemble.graph.steps.similar import Similar
from fuserank_ensemble.graph.tensors import pack_floats, pack_strings, string_tensor
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.serving.triton import execute_isolated
from support.exporting import export_quickly
from support.tiny_shop import write_csv


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


@dataclass
class Calls:
    """Passes calls on to the stages in this process, and remembers them."""

    graph: LocalGraph
    made: list = field(default_factory=list)
    outputs: list = field(default_factory=list)

    def __call__(self, model, inputs, outputs):
        self.made.append((model, inputs))
        self.outputs.append(outputs)
        return self.graph.call(model, inputs, outputs)

    def rows(self):
        return [(model, len(next(iter(inputs.values())))) for model, inputs in self.made]


@pytest.fixture
def calls(graph):
    return Calls(graph)


@pytest.fixture
def similar(graph, calls):
    return Similar(graph.bundle, calls)


class Answer:
    """One row of the outputs."""

    def __init__(self, outputs, row=0):
        returned = [i for i, item in enumerate(outputs["ITEM_ID"][row]) if item]
        self.ids = [outputs["ITEM_ID"][row, i].decode() for i in returned]
        self.scores = outputs["SCORE"][row, returned].tolist()
        items = [json.loads(outputs["ITEM"][row, i]) for i in returned]
        self.fields = [item["fields"] for item in items]
        self.signals = [{signal["name"]: signal for signal in item.get("signals", ())} for item in items]
        self.status = json.loads(outputs["STATUS"][row, 0])
        assert len(set(self.ids)) == len(self.ids) == self.status["returned"]


@pytest.fixture
def ask(graph):
    return lambda *anchor, **more: Answer(graph.similar(*anchor, **more))


def row(item_id="", text="", options="{}"):
    raw = [x.encode() if isinstance(x, str) else x for x in (item_id, text, options)]
    return {name: string_tensor([[value]]) for name, value in zip(("ITEM_ID", "TEXT", "OPTIONS"), raw, strict=True)}


def stacked(*rows):
    return {name: np.concatenate([each[name] for each in rows]) for name in rows[0]}


@pytest.mark.parametrize("anchor", [{"item_id": "i00"}, {"text": "oat drink"}, {"text": "绿茶"}, {"text": "🥛\x07"}])
def test_an_item_and_a_text_get_ten_items_with_their_fields_and_a_status(ask, graph, anchor):
    answer = ask(**anchor)
    assert len(answer.ids) == 10
    assert all({"title", "category"} <= set(fields) for fields in answer.fields)
    assert answer.status["bundle"] == graph.bundle.id
    assert answer.status["degraded"] == []
    assert answer.status["candidates"]["fused"] >= 10
    assert 0 <= answer.status["microseconds"]["retrieve"] <= answer.status["microseconds"]["total"]


def test_an_item_is_not_like_itself_and_everything_else_is_returned_once(ask, tiny_shop):
    assert set(ask("i07", k=200).ids) == set(tiny_shop.items) - {"i07"}


@pytest.mark.parametrize("anchor", [{"item_id": "i00"}, {"text": "oat drink small. Food, Dairy Free"}])
def test_the_score_is_the_cosine_of_the_texts(ask, graph, anchor):
    answer = ask(**anchor, k=60)
    items, vectors = graph.bundle.items, graph.bundle.vectors
    own = items.row(anchor.get("item_id", "i05"))
    vector = vectors[items.text[own]].astype(np.float32)
    expected = [float(vectors[items.text[items.row(i)]].astype(np.float32) @ vector) for i in answer.ids]
    # i05's text is the one asked for: encoded by itself it differs from the stored fp16 by rounding alone.
    np.testing.assert_allclose(answer.scores, expected, atol=2e-3)


def test_a_text_is_encoded_as_an_items_text_and_not_as_a_query(graph):
    spec = replace(graph.bundle.spec, query_template="goat cheese: {query}")
    inner = LocalGraph(Bundle(graph.bundle.root, graph.bundle.manifest, spec))
    plain, templated = Answer(graph.similar(text="oat drink")), Answer(inner.similar(text="oat drink"))
    assert plain.ids == templated.ids
    np.testing.assert_allclose(plain.scores, templated.scores, atol=1e-6)


def test_an_item_costs_no_encoder_call_and_is_retrieved_as_a_history_of_one(similar, calls, graph):
    similar.execute([row("i11")])
    assert calls.rows() == [("retrieve", 1)]
    (resolved,) = decode_requests(calls.made[0][1]["REQUEST"])
    assert (resolved.kind, resolved.query, resolved.has_query, resolved.exclude_seen) == ("similar", "", False, True)
    assert resolved.history.rows.tolist() == [graph.bundle.items.row("i11")]


def test_all_rows_of_all_requests_are_one_call_of_each_model(similar, calls):
    requests = [row("i11"), stacked(row(text="milk"), row("i12", options='{"k": 3}')), row(text="red tea")]
    together = similar.execute(requests)
    assert calls.rows() == [("encoder", 2), ("retrieve", 4)]
    assert [len(each["ITEM_ID"]) for each in together] == [1, 2, 1]
    for mine, answer in zip(requests, together, strict=True):
        for i in range(len(mine["ITEM_ID"])):
            alone = Answer(similar.execute([{name: values[i : i + 1] for name, values in mine.items()}])[0])
            assert Answer(answer, i).ids == alone.ids
            np.testing.assert_allclose(Answer(answer, i).scores, alone.scores, atol=1e-4)
    # One width a request: the row that asked for three ends in empty ids.
    assert (together[1]["ITEM_ID"][1, 3:] == b"").all()
    assert (together[1]["SCORE"][1, 3:] == 0).all()


@pytest.mark.parametrize("anchor", [{"item_id": "i00"}, {"text": "milk"}])
@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ({"category": "Drinks"}, {"category": "Drinks > 茶"}),
        ({"brand": "北山", "in_stock": True}, {"brand": "北山", "in_stock": "true"}),
    ],
)
def test_a_filter_keeps_all_that_fit_it_and_nothing_else(ask, tiny_shop, anchor, condition, wanted):
    fits = tiny_shop.ids(**wanted) - {anchor.get("item_id")}
    assert len(fits) > 5
    assert set(ask(**anchor, filter=condition, k=200).ids) == fits


@pytest.mark.parametrize("anchor", [{"item_id": "i00"}, {"text": "milk"}])
def test_a_filter_that_keeps_nothing_is_an_empty_answer(graph, anchor):
    outputs = graph.similar(**anchor, filter={"brand": "nobody"})
    assert outputs["ITEM_ID"].shape == outputs["SCORE"].shape == (1, 0)
    assert Answer(outputs).status["returned"] == 0


@pytest.fixture(scope="module")
def lonely(tiny_encoder, tmp_path_factory):
    """A shop of one item, on its first day."""
    folder = tmp_path_factory.mktemp("lonely")
    catalog = write_csv(folder / "items.csv", [{"item_id": "only", "title": "whole milk 🥛"}])
    out = folder / "bundle"
    return LocalGraph(Bundle.open(export_quickly(catalog, tiny_encoder, out)))


def test_a_shop_of_one_item_on_its_first_day_answers(lonely):
    assert Answer(lonely.similar("only")).ids == []
    assert Answer(lonely.similar(text="milk")).ids == ["only"]
    assert lonely.suggest("wh")["SUGGESTION"].tolist() == [["whole milk 🥛".encode()]]


def test_only_the_asked_fields_come(ask):
    assert ask("i00", fields=["title"], k=1).fields[0].keys() == {"title"}
    assert ask("i00", fields=[], k=1).fields == [{}]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("anchor", [{"item_id": "i00"}, {"text": "Acme oat drink of the household"}])
def test_reasons_name_what_relates_an_item_that_stands_before_a_nearer_one(ask, tiny_shop, anchor, language):
    answer = ask(**anchor, k=60, explain=True, language=language)
    titles = [signals["text"]["reason"] for signals in answer.signals]
    assert all(("whole milk small" if "item_id" in anchor else anchor["text"]) in title for title in titles)
    assert [signals["text"]["contribution"] for signals in answer.signals] == pytest.approx(answer.scores)
    early = [signals["placement"]["reason"] for signals in answer.signals if "placement" in signals]
    behind = [max(answer.scores[place:]) for place in range(len(answer.ids))]
    expected = [score < most - 1e-3 for score, most in zip(answer.scores, behind, strict=True)]
    assert ["placement" in signals for signals in answer.signals] == expected
    assert early, "nothing stood before a nearer item: the shop shows nothing"
    words = {"en": ("same ", "both name", "had by", "has “"), "zh": ("相同：", "都提到", "选过", "含有")}[language]
    assert all(any(word in reason for word in words) for reason in early)
    acme = {"en": "same brand: Acme", "zh": "品牌相同：Acme"}[language]
    named = {"en": "both name the brand Acme", "zh": "都提到品牌“Acme”"}[language]
    for item_id, signals in zip(answer.ids, answer.signals, strict=True):
        if "graph" in signals and tiny_shop.items[item_id]["brand"] == "Acme":
            assert (acme if tiny_shop.items[anchor.get("item_id", "i03")]["brand"] == "Acme" and "item_id" in anchor
                    else named if "text" in anchor else "") in signals["graph"]["reason"]  # fmt: skip


def test_a_basket_is_answered_by_what_is_like_all_of_it_with_reasons_that_name_the_nearest_of_it(ask, tiny_shop):
    basket = ["i00", "i05", "gone", "i15"]
    answer = ask(basket=basket, explain=True, k=60)
    assert set(answer.ids) == set(tiny_shop.items) - set(basket)
    titles = {tiny_shop.items[item]["title"] for item in basket if item in tiny_shop.items}
    assert all(any(title in signals["text"]["reason"] for title in titles) for signals in answer.signals)
    assert ask(basket=["i00"]).ids == ask("i00").ids


@pytest.fixture(scope="module")
def baskets(tiny_bundle):
    """A graph whose users have had milk (i00, i20), spread (i08) and towels (i15) in one basket, tea (i10) any day."""
    bundle = Bundle.open(tiny_bundle)
    rows = {name: bundle.items.row(name) for name in ("i00", "i20", "i08", "i15", "i10", "i02")}
    events = [(user, rows["i10"], 86_400 * (user % 50)) for user in range(60)]
    for user in range(30):
        day = 86_400 * (100 + user)
        milk = "i00" if user % 2 else "i20"
        events += [(user, rows[item], day) for item in (milk, "i08", "i15" if user % 3 else "i02")]
    users, items, times = (np.asarray(column) for column in zip(*sorted(events), strict=True))
    names = np.asarray([f"b{user:02}".encode() for user in range(60)])
    histories = HistorySnapshot.from_log(names, users.astype(np.int32), items.astype(np.int32), times.astype(np.int64))
    vars(bundle)["histories"] = histories
    return LocalGraph(bundle)


@pytest.mark.parametrize(
    "anchor",
    # The text is all that is embedded of i00: which other one a random encoder takes for nearest is chance.
    [{"item_id": "i00"}, {"basket": ["i00", "i20", "gone"]}, {"text": "whole milk small. Food, Dairy"}],
)
def test_what_goes_with_something_is_no_other_of_its_kind_and_says_how_often_it_is_had_with_it(baskets, anchor):
    answer = Answer(baskets.similar(**anchor, relation="complement", k=40, explain=True))
    assert {"i08", "i15"} == set(answer.ids)
    # Tea is had by everybody, at other times; yogurt is of milk's own category, and i20 is milk.
    assert not {"i10", "i02", "i00", "i20"} & set(answer.ids)
    assert min(answer.scores) >= 1.2
    for score, signals in zip(answer.scores, answer.signals, strict=True):
        assert signals["together"]["value"] == pytest.approx(score)
        assert f"{score:.1f} times as often as by chance" in signals["together"]["reason"]
    assert answer.status["candidates"] == {"together": len(answer.ids)}
    filtered = Answer(baskets.similar(**anchor, relation="complement", k=40, filter={"category": "Household"}))
    assert filtered.ids == ["i15"]
    assert Answer(baskets.similar(**anchor, relation="complement", k=1)).ids == answer.ids[:1]


def test_without_explain_no_reasons_are_computed(similar, calls):
    similar.execute([row("i11")])
    assert "FEATURES" not in calls.outputs[0]
    assert Answer(similar.execute([row("i11")])[0]).signals == [{}] * 10


def test_a_text_too_long_for_the_encoder_is_cut_and_says_so(ask):
    answer = ask(text="milk " * 800)
    assert answer.status["degraded"] == ["text_truncated"]
    assert len(answer.ids) == 10


REFUSED = {
    "neither": (row(), "ITEM_ID, TEXT: found both empty, and no basket; allowed: one of them"),
    "an item and a basket": (row("i00", options='{"basket": ["i01"]}'), "found an item and a basket; allowed: one of"),
    "a basket of nothing": (row(options='{"basket": []}'), "OPTIONS.basket: found []; allowed: a list of 1 to 100"),
    "a basket of unknown items": (row(options='{"basket": ["x"]}'), 'OPTIONS.basket: found ["x"]; allowed: items one'),
    "another relation": (row("i00", options='{"relation": "friend"}'), "allowed: substitute or complement"),
    "a text of spaces and controls": (row(text=" \t\x00\u3000"), "ITEM_ID, TEXT: found both empty"),
    "both": (row("i00", "milk"), "ITEM_ID, TEXT: found an item and a text"),
    "an unknown item": (row("i99"), 'ITEM_ID: found "i99"; allowed: an item of the catalogue; for one that is not'),
    "an item with a space inside": (row("i 00"), "ITEM_ID: found"),
    "an item of emoji": (row("🥛"), "ITEM_ID: found"),
    "an item of 100 kB": (row("i" * 100_000), "ITEM_ID: found 100,000 bytes; allowed: at most 1,024 bytes"),
    "a text of 100 kB": (row(text="x" * 100_000), f"TEXT: found 100,000 bytes; allowed: at most {MAX_TEXT_BYTES:,}"),
    "an item that is no text": (row(b"i\xff"), "ITEM_ID: found byte 0xff at position 1"),
    "a text that is none": (row(text=b"\xff"), "TEXT: found byte 0xff at position 0"),
    "k of zero": (row("i00", options='{"k": 0}'), "OPTIONS.k: found 0; allowed: an integer from 1 to 200"),
    "a language of nobody": (row("i00", options='{"language": "de"}'), 'OPTIONS.language: found "de"'),
    "an option of search": (row("i00", options='{"diversity": 1}'), "OPTIONS.diversity: found an unknown option"),
    "a typing error": (row("i00", options='{"filtr": {}}'), "did you mean 'filter'?"),
    "an unknown filter field": (row("i00", options='{"filter": {"brnd": "x"}}'), "did you mean 'brand'?"),
    "an unknown field": (row("i00", options='{"fields": ["titel"]}'), "OPTIONS.fields: found 'titel'"),
    "half a character": (row("i00", options=r'{"fields": ["\ud800"]}'), "found the lone surrogate"),
    "no object": (row("i00", options="[]"), "OPTIONS: found []; allowed: a JSON object"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_by_field_and_the_others_of_its_batch_are_answered(similar, calls, name):
    bad, text = REFUSED[name]
    answers = execute_isolated(similar, "similar", [row("i03"), bad, row(text="goat cheese")], ["", "", ""])
    assert isinstance(answers[1], InvalidRequestError)
    assert text in str(answers[1])
    assert calls.rows() == [("encoder", 1), ("retrieve", 2)]
    assert [len(Answer(each).ids) for each in answers[::2]] == [10, 10]


def test_a_batch_of_bad_requests_calls_nobody(similar, calls):
    assert all(isinstance(each, InvalidRequestError) for each in similar.execute([row(), row("i99")]))
    assert calls.made == []


def test_a_queue_that_is_full_elsewhere_is_not_asked_again_for_every_request(graph):
    tried = []

    def full(model, inputs, outputs):
        tried.append(model)
        raise UnavailableError(f"{model}: Exceeds maximum queue size")

    answers = execute_isolated(
        Similar(graph.bundle, full), "similar", [row("i00"), row("i01"), row("i02")], ["", "", ""]
    )
    assert [str(each) for each in answers] == ["retrieve: Exceeds maximum queue size"] * 3
    assert tried == ["retrieve"]


def test_rows_of_one_request_have_one_width():
    assert pack_strings([[b"a"], [], [b"b", b"c"]]).tolist() == [[b"a", b""], [b"", b""], [b"b", b"c"]]
    assert pack_floats([[1.5], [], [2.0, 3.0]]).tolist() == [[1.5, 0.0], [0.0, 0.0], [2.0, 3.0]]
    assert pack_strings([[], []]).shape == pack_floats([[], []]).shape == (2, 0)


def test_tokens_are_padded_to_the_bucket_of_the_longest_text_and_cut_at_the_last(graph):
    bundle = graph.bundle
    tokens = EncoderTokenizer(bundle.tokenizer, (4, 8), pad_token_id=0)
    short, long = tokens.encode(["milk", "milk " * 20])
    assert not short.overflowing
    assert long.overflowing
    ids, mask = tokens.pad([short, long])
    assert ids.shape == mask.shape == (2, 8)
    assert tokens.pad([short])[0].shape == (1, 4)
    assert (ids[0][mask[0] == 0] == 0).all()
    assert mask[1].all()
