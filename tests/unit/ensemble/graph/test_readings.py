"""What a text tower has said of a pair is not asked again, and is never said of another."""

from __future__ import annotations

import numpy as np
from fuserank_ensemble.graph.readings import Readings

from fuserank_ensemble.graph import readings

PAD, PLACES, LENGTH = 9, 6, 5


def request(*rows):
    """The ranker's inputs of some rows: each the pairs' first tokens, and the pair of each candidate."""
    ids = np.full((len(rows), PLACES, LENGTH), PAD, np.int64)
    of = np.full((len(rows), PLACES), -1, np.int64)
    for row, (tokens, pair_of) in enumerate(rows):
        ids[row, : len(tokens), 0], ids[row, : len(tokens), 1] = tokens, 1
        of[row, : len(pair_of)] = pair_of
    before = np.full(of.shape, np.nan, np.float32)
    return {"PAIR_IDS": ids, "PAIR_TYPES": np.zeros_like(ids), "PAIR_OF": of, "READ_BEFORE": before, "FEATURES": of}


def tower(tensors):
    """A tower that says of a pair its first token, and passes on what it is told."""
    first = np.take_along_axis(tensors["PAIR_IDS"][..., 0], np.maximum(tensors["PAIR_OF"], 0), 1)
    return np.where(tensors["PAIR_OF"] < 0, tensors["READ_BEFORE"], first).astype(np.float32)


def asked(known, tensors):
    unread = known.unread(tensors)
    said = tower(unread.tensors)
    known.keep(unread, said)
    np.testing.assert_array_equal(said, tower(tensors))
    return [len(keys) for keys in unread.keys]


def test_only_pairs_that_nobody_has_read_are_left():
    known = Readings(PAD)
    assert asked(known, request(([3, 4, 5], [0, 1, 1, 2]))) == [3]
    assert asked(known, request(([3, 4, 5], [2, 0, 1]))) == [0]
    assert asked(known, request(([6, 4, 7], [0, 2, -1, 1]), ([], []), ([3, 8], [1, 0]))) == [2, 0, 1]
    assert asked(known, request(([8, 7, 6, 5, 4, 3], [5, 4, 3, 2, 1, 0]))) == [0]
    assert (known.looked.hits, known.looked.misses) == (0 + 3 + 2 + 6, 3 + 3)


def test_the_same_tokens_in_a_longer_bucket_are_the_same_pair():
    known = Readings(PAD)
    tensors = request(([3, 4], [0, 1]))
    asked(known, tensors)
    longer = tensors | {
        name: np.pad(tensors[name], ((0, 0), (0, 0), (0, 7)), constant_values=value)
        for name, value in (("PAIR_IDS", PAD), ("PAIR_TYPES", 0))
    }
    assert asked(known, longer) == [0]


def test_tokens_of_another_type_are_another_pair():
    known = Readings(PAD)
    tensors = request(([3], [0]))
    asked(known, tensors)
    assert asked(known, tensors | {"PAIR_TYPES": np.ones_like(tensors["PAIR_TYPES"])}) == [1]


def test_what_came_in_is_not_changed():
    known = Readings(PAD)
    tensors = request(([3, 4], [0, 1]))
    kept = {name: array.copy() for name, array in tensors.items()}
    asked(known, tensors)
    asked(known, tensors)
    for name, array in kept.items():
        np.testing.assert_array_equal(tensors[name], array)


def test_the_least_used_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(readings, "READINGS", 2)
    known = Readings(PAD)
    assert [asked(known, request(([token], [0]))) for token in (3, 4, 3, 5, 3, 4)] == [[1], [1], [0], [1], [0], [1]]


def test_a_reading_that_is_no_number_is_asked_again():
    known, tensors = Readings(PAD), request(([3], [0]))
    unread = known.unread(tensors)
    known.keep(unread, np.full((1, PLACES), np.nan, np.float32))
    assert asked(known, tensors) == [1]
