"""Requests with relevant items, on which the ranking of engines is compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY, History
from fuserank_export.sources.judgements import read_judgements

QUERY_WORDS = 3  # of a title, in a request made from one
DECIMAL_GRADES = 1_000  # what decimal grades are multiplied by to be whole


@dataclass(frozen=True)
class RealRequest:
    """One request and its relevant items.

    Attributes:
        query: The query; empty for a recommendation.
        user: Id of the user; empty for a search without a user.
        relevant: Grade, above 0, by item id.
    """

    query: str
    user: str
    relevant: Mapping[str, int]


def draw_requests(bundle: Bundle, count: int, seed: int) -> list[RealRequest]:
    """Draws requests from a bundle: a third recommendations, a third searches by a user, a third other searches.

    Relevant are: for a user the items of their last day; for a search by a user those of these items that are in the
    queried category; for other searches the items with the text that the query's words are from. The channels have
    seen these events, which does not matter, because all engines are measured on the same requests.

    Args:
        bundle: The bundle.
        count: How many; fewer where there are fewer users, and searches only where there is no log.
        seed: Seed of the draw.
    """
    draw = np.random.default_rng(seed)
    users = draw.permutation(len(bundle.histories))[: count // 3]
    requests = []
    for row in users:
        user, basket = bundle.histories.users[row].decode(), _last_day(bundle.histories.at(int(row)))
        requests.append(RealRequest("", user, _ids(bundle, basket)))
        # A search for an item of the user's.
        item = int(draw.choice(basket))
        category = bundle.items.category[basket]
        in_category = basket[category == bundle.items.category[item]]
        query = _category(bundle, item) or _draw_words(bundle, item, draw)
        requests.append(RealRequest(query, user, _ids(bundle, in_category)))
    for item in draw.integers(0, len(bundle.items), count - len(requests)):
        same = np.flatnonzero(bundle.items.text == bundle.items.text[item])
        requests.append(RealRequest(_draw_words(bundle, int(item), draw), "", _ids(bundle, same)))
    # In random order, so that every batch has all kinds.
    return [requests[i] for i in draw.permutation(len(requests)) if requests[i].query or requests[i].user]


def read_judged_requests(bundle: Bundle, queries: Path, judgements: Path) -> list[RealRequest]:
    """Reads judged queries as requests; see `fuserank_export.sources.judgements`.

    Raises:
        InputError: Where a file cannot be used.
    """
    ids = [item.decode() for item in bundle.items.ids]
    judged = read_judgements(queries, judgements, ids)
    # TREC's measures take whole grades; nDCG is the same for grades times a constant.
    whole = all(float(grade).is_integer() for grades in judged.grades.values() for grade in grades.values())
    scale = 1 if whole else DECIMAL_GRADES
    relevant = {
        query_id: {ids[row]: max(1, round(grade * scale)) for row, grade in grades.items() if grade > 0}
        for query_id, grades in judged.grades.items()
    }
    return [RealRequest(judged.queries[query_id], "", grades) for query_id, grades in relevant.items() if grades]


def sample_titles(bundle: Bundle, count: int) -> list[str]:
    """Returns `count` titles from all over the catalogue, and the longest of these."""
    step = max(1, len(bundle.items) // count)
    titles = [_title(bundle, row) for row in range(0, len(bundle.items), step)][:count]
    return [*titles, max(titles, key=len)]


def _last_day(history: History) -> NDArray[np.int32]:
    rows: NDArray[np.int32] = history.rows[history.last >= history.last.max() - SECONDS_PER_DAY]
    return rows


def _ids(bundle: Bundle, rows: Sequence[int] | NDArray[np.integer[Any]]) -> dict[str, int]:
    return {bundle.items.ids[row].decode(): 1 for row in rows}


def _title(bundle: Bundle, row: int) -> str:
    return str(json.loads(bundle.records.raw(row)).get("title", ""))


def _draw_words(bundle: Bundle, row: int, draw: np.random.Generator) -> str:
    words = _title(bundle, row).split()
    kept = sorted(draw.permutation(len(words))[:QUERY_WORDS])
    return " ".join(words[i] for i in kept)


def _category(bundle: Bundle, row: int) -> str:
    """Returns the last level of an item's category path, in lower case; empty where it has none."""
    code = int(bundle.items.category[row])
    column = bundle.items.columns.by_name.get("category")
    return column.words[code].rsplit(" > ", 1)[-1].lower() if column is not None and code >= 0 else ""
