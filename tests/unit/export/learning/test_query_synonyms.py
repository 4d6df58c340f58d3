"""Words of queries that no item has: what people took for them tells what they mean."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_export.index.catalog import NO_SYNONYMS
from fuserank_export.learning.query_synonyms import LEAST_USERS, learn_synonyms
from support.hand_log import make_log

TITLES = (
    "Oslo sofa", "Bergen sofa, 2 seats", "Oslo table", "Bergen table", "Cola soft drinks 2 l",
    "Lemon soft drinks 1 l", "Oslo chair", "Bergen lamp",
)  # fmt: skip
RECORDS = [{"item_id": f"i{row}", "title": title, "category": "Home"} for row, title in enumerate(TITLES)]
WORDS = {word.strip(",").lower() for title in TITLES for word in (*title.split(), "home")}
SOFAS, DRINKS = (0, 1), (4, 5)
LATER = 100.0 * 86_400


def searches(*groups, seed=3):
    """A log of searches: for each group its query, by how many users, and the items that they take one of."""
    draw = random.Random(seed)
    rows, queries = [], []
    for query, users, items in groups:
        queries.append(query)
        rows += [(user, draw.choice(items), user % 20, len(queries) - 1) for user in range(users)]
    rows.sort(key=lambda row: row[2])
    log = make_log([row[:3] for row in rows])
    names = [f"u{user}" for user in range(1 + max(row[0] for row in rows))]
    return replace(log, query=np.asarray([row[3] for row in rows], np.int32), queries=queries, user_ids=names)


EVERYTHING = ("home", 200, range(len(TITLES)))


def learned(*groups, known=NO_SYNONYMS, before=LATER):
    return learn_synonyms(searches(EVERYTHING, *groups), RECORDS, known, WORDS.__contains__, before)


def test_a_word_means_what_people_took_for_it():
    assert learned(("couch", 30, SOFAS), ("a Couch", 10, SOFAS), ("chesterfield", 3, SOFAS)) == {"couch": "sofa"}
    assert learned(("Chaise  longue", 30, SOFAS)) == {"chaise longue": "sofa"}


def test_words_that_tell_as_much_belong_together_and_stand_as_items_write_them():
    assert learned(("pop", 40, DRINKS)) == {"pop": "soft drinks"}


@pytest.mark.parametrize(
    ("query", "users", "items"),
    [
        ("couch", LEAST_USERS - 1, SOFAS),
        ("nice", 60, range(len(TITLES))),
        ("sofa", 60, DRINKS),
        ("沙发", 60, SOFAS),
        ("the", 60, SOFAS),
        ("4711", 60, SOFAS),
        ("comfy sofa", 60, SOFAS),
        ("one very comfy chesterfield", 60, SOFAS),
    ],
    ids=[
        "too few users",
        "taken at random",
        "an item has it",
        "Chinese",
        "a filler",
        "a number",
        "beside a word that tells",
        "too long",
    ],
)
def test_nothing_is_learned_of_what_tells_nothing(query, users, items):
    assert learned((query, users, items)) == {}


def test_one_user_alone_teaches_nothing_however_often_they_search():
    log = searches(EVERYTHING, ("couch", 30, SOFAS))
    log = replace(log, user=np.where(log.query == 1, 0, log.user).astype(np.int32))
    assert learn_synonyms(log, RECORDS, NO_SYNONYMS, WORDS.__contains__, LATER) == {}


def test_the_shops_own_synonyms_are_left_alone():
    assert learned(("couch", 30, SOFAS), known=Synonyms({"couch": "couch"})) == {}


def test_later_events_are_not_looked_at():
    assert learned(("couch", 30, SOFAS), before=1.0) == {}


def test_a_log_without_queries_teaches_nothing():
    log = make_log([(0, 0, 1)])
    assert learn_synonyms(log, RECORDS, NO_SYNONYMS, WORDS.__contains__, LATER) == {}
