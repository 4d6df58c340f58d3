"""Five items, one user and the channels' evidence: a request whose every feature can be worked out on paper."""

from __future__ import annotations

import math

import numpy as np

from fuserank_ensemble.candidates.features import Featuriser, RequestEvidence
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.profile import UserProfiles
from fuserank_ensemble.retrieval.evidence import Evidence

NOW = 1_000 * SECONDS_PER_DAY
NAN = math.nan
ITEMS = Items(
    np.asarray([b"a", b"b", b"c", b"d", b"e"]),
    np.asarray([0, 1, 2, 3, 0], np.int32),  # the last has the text of the first
    Columns(
        5,
        {
            "price": Column("number", np.asarray([1.0, 3.0, NAN, 0.0, 7.0])),
            "category": Column("category", np.asarray([0, 0, 1, -1, 0], np.int32), ["X", "Y"]),
            "brand": Column("keyword", np.asarray([0, -1, 1, 0, 1], np.int32), ["P", "Q"]),
        },
    ),
)
POPULARITY = Popularity(
    counts=np.asarray([9, 4, 0, 1, 2], np.float32),
    events=np.asarray([9, 4, 0, 1, 2], np.float32),
    trend=np.asarray([2, 3, 0, 0.5, 5], np.float32),
    lately=np.asarray([1, 2, 0, 0.25, 5], np.float32),
    reach=np.asarray([3, 4, 0, 1, 1], np.float32),
    cycle=np.asarray([5, NAN, NAN, NAN, NAN], np.float32),
    # The last event of item e is yet to come, as the clock of another machine may have it.
    latest=np.asarray([NOW - 2 * SECONDS_PER_DAY, NOW, NAN, NOW - 9 * SECONDS_PER_DAY, NOW + SECONDS_PER_DAY]),
    # Item c comes tomorrow; of items d and e nobody knows.
    arrived=np.asarray([NOW - 7 * SECONDS_PER_DAY, NOW, NOW + SECONDS_PER_DAY, NAN, NAN]),
)


def history(rows, counts, days, recent):
    """Events with items, the last so many days before `NOW`."""
    last = (NOW - SECONDS_PER_DAY * np.asarray(days)).astype(np.int64)
    return History(np.asarray(rows, np.int32), np.asarray(counts, np.float32), last, np.asarray(recent, np.float32))


# Three of item a, of which the first is old; one of b four weeks ago; one of c just now.
SEEN = history([0, 1, 2], [3, 1, 1], [10, 28, 0], [2, 1, 1])
CANDIDATES = [2, 0, 3, 4]


TEXT_SCORES = np.asarray([0.5, NAN, 0.25, NAN], np.float32)  # of the candidates
MISSED = np.asarray([1.0, 0.0, 0.5, 0.0], np.float32)  # conditions of the query, by the candidates
CATEGORY_OF_QUERY = np.log(0.001 + np.asarray([0.25, 0.75, NAN, 0.75], np.float32))  # shares in what is meant


def evidence_of(rows, scores=None, ranks=None, votes=None):
    """Evidence of some rows, by channels' scores and ranks where there are any."""
    rows, scores, ranks = np.asarray(rows, np.int32), scores or {}, ranks or {}
    names = tuple({**scores, **ranks})
    tables = np.full((2, len(names), len(rows)), NAN, np.float32)
    for table, known in zip(tables, (scores, ranks), strict=True):
        for name, values in known.items():
            table[names.index(name)] = values
    return Evidence(rows, names, *tables, votes)


def evidence():
    """The ranks and scores of the candidates c, a, d, e in eight channels; NaN where one did not list it."""

    def of_candidates(*values):
        return np.asarray(values, np.float32)

    scores = {
        "dense": of_candidates(0.5, NAN, 0.25, NAN), "lexical": of_candidates(31.5, NAN, 4.0, NAN),
        "trending": of_candidates(NAN, 7.0, 0.0, NAN), "new": of_candidates(0.5, NAN, NAN, NAN),
        "history": of_candidates(2.0, 3.0, NAN, NAN), "collaborative": of_candidates(-0.5, 1.25, NAN, NAN),
        "content": of_candidates(NAN, -0.25, 0.75, NAN), "graph": of_candidates(2.5, NAN, -1.0, NAN),
    }  # fmt: skip
    ranks = {
        "dense": of_candidates(0, NAN, 1, NAN), "lexical": of_candidates(0, NAN, 8, NAN),
        "trending": of_candidates(NAN, 0, 1, NAN), "new": of_candidates(3, NAN, NAN, NAN),
        "history": of_candidates(1, 0, NAN, NAN), "collaborative": of_candidates(5, 2, NAN, NAN),
        "content": of_candidates(NAN, 7, 0, NAN), "graph": of_candidates(0, NAN, 4, NAN),
    }  # fmt: skip
    return evidence_of(CANDIDATES, scores, ranks, of_candidates(1.5, 1.0, 0.25, 0.0))


def features(seen=SEEN, has_query=True, items=ITEMS, other=None):
    """The features of the candidates, or of those of other evidence."""
    candidates = other or evidence()
    text_scores = TEXT_SCORES if other is None else np.full(len(other.rows), NAN, np.float32)
    missed, shares = (MISSED, CATEGORY_OF_QUERY) if has_query and other is None else (None, None)
    request = RequestEvidence(candidates, seen, NOW, text_scores if has_query else None, missed, shares)
    return featurise(Featuriser(items, POPULARITY), request, items)


def featurise(by, request, items=ITEMS):
    """The features of one request, as a featuriser computes them."""
    (found,) = by([request], UserProfiles.from_histories([request.seen], items, [request.now]))
    return found
