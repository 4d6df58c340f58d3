"""Words that come while a bundle is served are searched as if the bundle had them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import BundledCatalog
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.live import LiveWords
from fuserank_ensemble.state.entries import ItemChange, Logged
from fuserank_export.index.units import unit_table

SHOP = [
    {"item_id": "a", "title": "whole milk 1 gallon", "brand": "Acme"},
    {"item_id": "b", "title": "oat milk", "brand": "Zenith"},
    {"item_id": "c", "title": "rye bread", "brand": "Acme"},
    {"item_id": "d", "title": "crème caramel", "brand": "Zenith"},
]
MORE = [
    {"item_id": "n1", "title": "goat milk 64 fl oz", "brand": "Wumpus"},
    {"item_id": "n2", "title": "有机绿茶", "brand": "Acme"},
    {"item_id": "n3", "title": "creme brulée", "brand": "Zenith"},
    {"item_id": "TRX-7144", "title": "milk frother for lattes", "brand": "Acme"},
]
FIELDS = {"title": 3.0, "brand": 1.5}
QUERIES = ("milk", "goat milk", "whole milk", "gallon milk", "绿茶", "TRX 7144", "acme", "wumpus", "mil")


class Stored:
    def raw(self, row):
        return json.dumps(SHOP[row]).encode()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "lexical"
    LexicalIndex.write(path, SHOP, FIELDS, unit_table(), ["item_id"])
    return path


def follow(folder, synonyms=None):
    items = Items(np.asarray([i["item_id"].encode() for i in SHOP]), np.arange(4, dtype=np.int32), Columns(4, {}))
    catalog = LiveCatalog(BundledCatalog(items, Stored(), np.eye(4, dtype=np.float16)))
    return catalog, LiveWords(catalog, folder, FIELDS, ["item_id"], synonyms or Synonyms({}))


def changes(*records, first=1):
    vector = np.ones(4, np.float16).tobytes()
    return [
        Logged(n, ItemChange(event_id=f"e{n}", item_id=record["item_id"], fields=record, vector=vector))
        for n, record in enumerate(records, start=first)
    ]


def apply(followed, *batches):
    catalog, words = followed
    for batch in batches:
        catalog.apply(batch)
        words.apply(batch)
    return words.current


def search(index, query, allowed=None):
    channel = LexicalChannel(index, index.items)
    asked = ChannelQuery(query, np.zeros(4, np.float32), History.empty(), 0.0, allowed)
    (ranked,) = channel.search([asked], 10)
    return dict(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True))


def test_new_items_score_as_in_an_index_that_was_written_with_them(folder, tmp_path):
    grown = apply(follow(folder), changes(*MORE))
    LexicalIndex.write(tmp_path / "whole", SHOP + MORE, FIELDS, unit_table(), ["item_id"])
    whole = LexicalIndex.open(tmp_path / "whole")
    for query in QUERIES:
        found, expected = search(grown, query), search(whole, query)
        assert list(found) == list(expected), query
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5, err_msg=query)
        assert found, query
    assert (grown.han, whole.han, grown.items, whole.items) == (True, True, 8, 8)


def test_a_word_is_found_with_and_without_its_accents(folder):
    index = apply(follow(folder), changes(*MORE))
    for query, first in (("creme", {3, 6}), ("crème", {3, 6}), ("brulee", {6}), ("brulée", {6})):
        assert set(search(index, query)) == first, query
    assert next(iter(search(index, "crème"))) == 3, "who types accents means them"


def test_what_the_index_says_hangs_on_the_log_alone(folder):
    log = changes(*MORE, {"item_id": "b", "title": "goat kefir"}, {"item_id": "n1", "title": "goat cream"}, *MORE[:2])
    at_once = apply(follow(folder), log)
    one_by_one = apply(follow(folder), *([logged] for logged in log))
    for query in (*QUERIES, "kefir", "goat", "cream"):
        assert search(at_once, query) == pytest.approx(search(one_by_one, query), rel=1e-5), query
        assert at_once.searcher.doc_freq("all", query) == one_by_one.searcher.doc_freq("all", query)


def test_other_words_of_an_item_take_the_place_of_its_own(folder):
    followed = follow(folder)
    before = followed[1].current
    after = apply(followed, changes({"item_id": "b", "title": "rice kefir"}))
    assert set(search(after, "kefir")) == {1}
    assert set(search(after, "milk")) == {0}
    assert set(search(after, "Zenith")) == {1, 3}, "what did not change stays"
    mask = np.asarray([False, True, False, False])
    assert set(search(after, "kefir", mask)) == {1}
    assert search(after, "oat milk", mask) == {}
    assert set(search(before, "milk")) == {0, 1}, "a reader keeps what it has"
    back = apply(followed, changes(SHOP[1], first=2))
    assert set(search(back, "oat milk")) == {1, 0}


def test_words_that_nobody_had_are_words(folder):
    followed = follow(folder)
    assert not followed[1].current.has_word("frother")
    index = apply(followed, changes(*MORE))
    assert index.has_word("frothers")
    assert index.similar_words("frothr", 1) == ["frother"]
    assert index.is_code("trx7144")
    assert index.is_value("Wumpus")
    assert not followed[1].bundled.has_word("frother")


def test_synonyms_are_replaced_in_new_items(folder):
    index = apply(follow(folder, Synonyms({"goat": "caprine"})), changes(MORE[0]))
    assert set(search(index, "caprine")) == {4}
    assert index.searcher.doc_freq("all", "goat") == 0


def test_changes_without_words_index_nothing(folder):
    followed = follow(folder)
    before = followed[1].current
    assert apply(followed, [Logged(1, ItemChange(event_id="e", item_id="a", fields={"price": 3.0}))]) is before


def test_documents_that_were_replaced_are_written_anew_beyond_the_bound(folder, monkeypatch):
    monkeypatch.setattr("fuserank_ensemble.retrieval.lexical.live.MAX_REPLACED", 3)
    log = [logged for n in range(9) for logged in changes({"item_id": "n1", "title": f"kefir {n}"}, first=n + 1)]
    index = apply(follow(folder), changes(MORE[1], first=1), *([Logged(p + 1, e)] for p, e in log))
    assert index.documents <= len(SHOP) + 2 + 4
    assert set(search(index, "kefir 8")) == {5}
    assert set(search(index, "绿茶")) == {4}
    whole = apply(follow(folder), changes(MORE[1], first=1) + [Logged(p + 1, e) for p, e in log])
    assert search(index, "kefir") == pytest.approx(search(whole, "kefir"), rel=1e-5)


def test_the_bundle_stays_as_it_is(folder):
    held = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    apply(follow(folder), *([logged] for logged in changes(*MORE * 5)))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == held


def test_a_change_that_cannot_be_indexed_is_reported_for_each_of_its_entries(folder, monkeypatch):
    catalog, words = follow(folder)
    monkeypatch.setattr(words._documents, "make", lambda *arguments: 1 / 0)
    log = changes(*MORE[:2])
    catalog.apply(log)
    with pytest.raises(ZeroDivisionError):
        words.apply(log)
    with pytest.raises(RuntimeError, match="could not be indexed"):
        words.apply(log[:1])
    monkeypatch.undo()
    apply((catalog, words), changes(MORE[2], first=5))
    assert set(search(words.current, "brulée")) >= {6}
