"""`suggest` passes a prefix on as it was typed, pads the rows of a call to one width, and refuses by field."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.suggest import INDEX, Suggest
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.serving.triton import execute_isolated
from support.hosts import LoneHost


class Completing:
    """Completes with as many letters as the prefix is long, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def complete(self, prefix, count, hidden=frozenset(), habits=()):
        self.asked.append((prefix, count))
        return [(f"{prefix}{'é' * n}", 10.0 - n) for n in range(min(len(prefix), count))]


@pytest.fixture
def completing():
    return Completing()


@pytest.fixture
def suggest(completing):
    return Suggest(completing)


def row(*cells):
    """A request with a row for each prefix and its options."""
    raw = [[x.encode() if isinstance(x, str) else x for x in cell] for cell in cells]
    return {name: string_tensor([[cell[i]] for cell in raw]) for i, name in enumerate(("PREFIX", "OPTIONS"))}


def texts(outputs, at=0):
    return [text.decode() for text in outputs["SUGGESTION"][at] if text]


@pytest.mark.parametrize("prefix", ["mil", "Mil ", " ", "", "绿", "🥛", "a\x00b", "é\u0301", "x" * 1_024])
def test_a_prefix_arrives_as_it_was_typed_with_ten_for_the_count(suggest, completing, prefix):
    (answer,) = suggest.execute([row((prefix, "{}"))])
    assert completing.asked == [(prefix, 10)]
    assert answer["SUGGESTION"].shape == answer["SCORE"].shape == (1, min(len(prefix), 10))
    assert answer["SCORE"].dtype == np.float32
    assert texts(answer) == [f"{prefix}{'é' * n}" for n in range(min(len(prefix), 10))]


def test_rows_of_one_call_have_one_width_and_requests_each_their_own(suggest):
    two, one = suggest.execute([row(("milk", '{"count": 2}'), ("", ""), ("abc", "{}")), row(("a", "{}"))])
    assert two["SUGGESTION"].tolist() == [
        [b"milk", "milké".encode(), b""],
        [b"", b"", b""],
        [b"abc", "abcé".encode(), "abcéé".encode()],
    ]
    assert two["SCORE"].tolist() == [[10, 9, 0], [0, 0, 0], [10, 9, 8]]
    assert one["SCORE"].tolist() == [[10]]


REFUSED = {
    "a prefix of 100 kB": (("x" * 100_000, "{}"), "PREFIX: found 100,000 bytes; allowed: at most 1,024 bytes"),
    "a prefix cut within a letter": (("é".encode()[:1], "{}"), "PREFIX: found byte 0xc3 at position 0; allowed: UTF-8"),
    "no count": (("a", '{"count": 0}'), "OPTIONS.count: found 0; allowed: an integer from 1 to 50"),
    "too large a count": (("a", '{"count": 51}'), "OPTIONS.count: found 51; allowed: an integer from 1 to 50"),
    "a count of text": (("a", '{"count": "3"}'), 'OPTIONS.count: found "3"; allowed: an integer from 1 to 50'),
    "a count that is no number": (("a", '{"count": NaN}'), "OPTIONS.count: found NaN"),
    "another option": (("a", '{"k": 3}'), "OPTIONS.k: found an unknown option; allowed: count, user"),
    "a user's id of 1 kB": (
        ("a", '{"user": "' + "u" * 1_000 + '"}'),
        "OPTIONS.user: found 1,000 bytes; allowed: at most",
    ),
    "no JSON": (("a", "{count"), "OPTIONS: found malformed JSON"),
    "a list": (("a", "[3]"), "OPTIONS: found [3]; allowed: a JSON object"),
    "100 kB of options": (("a", " " * 100_000), "OPTIONS: found 100,000 bytes; allowed: at most 65,536 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_by_field_and_the_others_of_its_batch_are_answered(suggest, name):
    bad, text = REFUSED[name]
    first, refused, last = execute_isolated(
        suggest,
        "suggest",
        [row(("ab", "{}")), row(("good", "{}"), bad), row(("c", "{}"))],
        ["", "", ""],
    )
    assert isinstance(refused, InvalidRequestError)
    assert text in str(refused)
    assert (texts(first), texts(last)) == (["ab", "abé"], ["c"])


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


def test_a_bundle_completes_titles_and_queries_and_forgives_an_error(graph, tiny_shop):
    titles = {row["title"] for row in tiny_shop.items.values()}
    completions = texts(graph.suggest("vanil"))
    assert completions
    assert {text for text in completions if text in titles} == {t for t in titles if t.startswith("vanilla")}
    assert any("vanilla" in text for text in texts(graph.suggest("vanlila")))
    assert any(text.startswith("乌龙") for text in texts(graph.suggest("乌")))
    # A query of the log that is no title: the category's name, which the shop's regulars ask for.
    assert "household" in {text.lower() for text in texts(graph.suggest("househ"))}


def test_brands_and_categories_are_completed_by_their_own_names(graph):
    assert texts(graph.suggest("zeni")) == ["Zenith"]
    assert {text.lower() for text in texts(graph.suggest("dairy"))} >= {"dairy", "dairy free"}
    assert "Food > Dairy" not in texts(graph.suggest("", count=50))


def test_what_a_user_has_had_comes_first_of_what_fits_as_well(graph, tiny_shop):
    for user, prefix in (
        ("u00", ""),
        ("u05", ""),
        ("u05", tiny_shop.items[tiny_shop.favourites["u05"][0]]["title"][0]),
    ):
        dearest = tiny_shop.items[tiny_shop.favourites[user][0]]["title"]
        assert dearest in texts(graph.suggest(prefix, user=user, count=8))[:4]
        if prefix:
            assert set(texts(graph.suggest(prefix, user=user, count=50))) == set(texts(graph.suggest(prefix, count=50)))
    assert texts(graph.suggest("w", user="nobody")) == texts(graph.suggest("w"))


def test_scores_are_popularity_and_never_rise_among_what_begins_so(graph):
    answer = graph.suggest("", count=50)
    scores = answer["SCORE"][0].tolist()
    assert len(scores) > 10
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]


def test_nothing_to_suggest_is_an_empty_answer(graph):
    answer = graph.suggest("qqqqqqqqqq xyzzy")
    assert answer["SUGGESTION"].shape == answer["SCORE"].shape == (1, 0)


def test_a_changed_index_is_refused(tiny_bundle, tmp_path):
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    path = next(each for each in sorted((copy / INDEX).iterdir()) if each.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff\xff")
    with pytest.raises(BundleError, match=r"index/suggest/.*export the bundle again"):
        Suggest.open(copy, "cpu", LoneHost())
