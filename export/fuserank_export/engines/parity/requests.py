"""Real requests with what was right for them: what an engine's ranking is held to."""

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


@dataclass(frozen=True)
class RealRequest:
    """One request.

    Attributes:
        query: What is asked for; empty for a recommendation.
        user: Who asks; empty for a search without a user.
        relevant: Grade by item id, above 0.
    """

    query: str
    user: str
    relevant: Mapping[str, int]


def drawn(bundle: Bundle, count: int, seed: int) -> list[RealRequest]:
    """Draws requests from what a bundle knows: a third each of recommendations, searches by a user, and searches.

    Right for a user are the items of the last day that the user came, for a search by one those of the category that
    is asked for, for other searches the items of the text whose words are asked for. Every engine is measured on the
    same requests, so that it does not matter that the channels have seen these events.

    Args:
        bundle: The bundle.
        count: How many; fewer where there are fewer users, and searches alone where there is no log.
        seed: Of the draw.
    """
    draw = np.random.default_rng(seed)
    users = draw.permutation(len(bundle.histories))[: count // 3]
    requests = []
    for row in users:
        user, basket = bundle.histories.users[row].decode(), _last_day(bundle.histories.at(int(row)))
        requests.append(RealRequest("", user, _ids(bundle, basket)))
        # A search for something that the user did take.
        item = int(draw.choice(basket))
        category = bundle.items.category[basket]
        wanted = basket[category == bundle.items.category[item]]
        requests.append(RealRequest(_category(bundle, item) or _words(bundle, item, draw), user, _ids(bundle, wanted)))
    for item in draw.integers(0, len(bundle.items), count - len(requests)):
        same = np.flatnonzero(bundle.items.text == bundle.items.text[item])
        requests.append(RealRequest(_words(bundle, int(item), draw), "", _ids(bundle, same)))
    # Every batch gets a mixture, as a server does.
    return [requests[i] for i in draw.permutation(len(requests)) if requests[i].query or requests[i].user]


def judged(bundle: Bundle, queries: Path, judgements: Path) -> list[RealRequest]:
    """Requests that people have judged; see `fuserank_export.sources.judgements`.

    Raises:
        InputError: Where a file cannot be used.
    """
    ids = [item.decode() for item in bundle.items.ids]
    read = read_judgements(queries, judgements, ids)
    graded = {name: {ids[row]: grade for row, grade in mine.items() if grade > 0} for name, mine in read.grades.items()}
    return [RealRequest(read.queries[name], "", right) for name, right in graded.items() if right]


def texts(bundle: Bundle, count: int) -> list[str]:
    """Titles from all over the catalogue, the longest among them."""
    step = max(1, len(bundle.items) // count)
    titles = [_title(bundle, row) for row in range(0, len(bundle.items), step)][:count]
    return [*titles, max(titles, key=len)]


def _last_day(history: History) -> NDArray[np.int32]:
    late: NDArray[np.int32] = history.rows[history.last >= history.last.max() - SECONDS_PER_DAY]
    return late


def _ids(bundle: Bundle, rows: Sequence[int] | NDArray[np.integer[Any]]) -> dict[str, int]:
    return {bundle.items.ids[row].decode(): 1 for row in rows}


def _title(bundle: Bundle, row: int) -> str:
    return str(json.loads(bundle.records.raw(row)).get("title", ""))


def _words(bundle: Bundle, row: int, draw: np.random.Generator) -> str:
    words = _title(bundle, row).split()
    kept = sorted(draw.permutation(len(words))[:QUERY_WORDS])
    return " ".join(words[i] for i in kept)


def _category(bundle: Bundle, row: int) -> str:
    """Name of the last level of an item's category; empty where it has none."""
    code = int(bundle.items.category[row])
    column = bundle.items.columns.by_name.get("category")
    return column.words[code].rsplit(" > ", 1)[-1].lower() if column is not None and code >= 0 else ""
