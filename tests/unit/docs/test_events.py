"""The page of input files says what is declared: the kinds of events, their priors, and who reads them."""

from __future__ import annotations

import re

import pytest

from fuserank_ensemble.interactions.events import EVENTS, POSITIVE, PRIORS
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS
from fuserank_export.training.cases.window import HEADS_READ
from support.pages import REPOSITORY

PAGE = (REPOSITORY / "docs" / "what-is-learned.md").read_text("utf-8")
SECTION = PAGE.split("### Kinds of events")[1].split("\n### ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| ")]
KINDS = {row[0].strip("`"): row[1] for row in ROWS if row[0].strip("`") in EVENTS}
READERS = {row[0]: row[1:] for row in ROWS}


def test_every_kind_stands_with_its_prior():
    assert {name: float(prior) for name, prior in KINDS.items()} == dict(PRIORS)


def row_of(reader, before=""):
    return next(cells for name, cells in READERS.items() if re.search(rf"{before}`{reader}`", name))


def kinds_in_words(kinds):
    named = {EVENTS: "all", POSITIVE: "all above 0", (): "none"}
    return named.get(kinds, ", ".join(f"`{kind}`" for kind in kinds))


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_channel_stands_with_what_it_declares_to_read(name):
    reads = DECLARATIONS[name].reads
    assert set(reads.kinds) <= set(EVENTS)
    assert row_of(name) == [kinds_in_words(reads.kinds), reads.how]


@pytest.mark.parametrize("head", HEADS_READ)
def test_the_rankers_heads_stand_with_what_they_learn_from(head):
    reads = HEADS_READ[head]
    assert row_of(head, "head ") == [kinds_in_words(reads.kinds), reads.how]
