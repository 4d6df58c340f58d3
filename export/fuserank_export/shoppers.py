"""Chooses users of different habits from a bundle's log, for a demo that shows what the same query means to each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_ensemble.bundle import EVENTS, EXPORTED_EVENTS, Bundle
from fuserank_ensemble.interactions.events import POSITIVE
from fuserank_export.errors import ExportError

KIND_LEVELS = 2  # of a category's path: "Grocery > Cheese"
HABITS = 3
LEAST_EVENTS = 20
ACTIVE = 0.9  # a user of whom less is known than of this share of all is not chosen: habits must show


@dataclass(frozen=True)
class Shopper:
    """A user of the log.

    Attributes:
        user_id: The user's id.
        events: How many events the log has of the user.
        habits: Kinds of items of which the user has more than others, the most marked first.
    """

    user_id: str
    events: int
    habits: tuple[str, ...]


def read_shoppers(bundle: Path, count: int) -> list[Shopper]:
    """Returns users of a bundle's log whose habits differ most.

    Raises:
        ExportError: Where the bundle has no log.
        BundleError: Where it cannot be opened.
    """
    opened, log = Bundle.open(bundle, verify=()), bundle / EVENTS / EXPORTED_EVENTS
    if not log.exists():
        raise ExportError(f"{bundle} has no log to choose shoppers from: it was exported without --interactions")
    events = pd.read_parquet(log, columns=["user_id", "item_id", "event"])
    return choose_shoppers(events[events["event"].isin(POSITIVE)], _read_kinds(opened), count)


def choose_shoppers(events: pd.DataFrame, kinds: Mapping[str, str], count: int) -> list[Shopper]:
    """Returns the users whose habits differ most from all users' and from each other's.

    The first is the active user who is least like the mean of all, each further one the user who is least like those
    before and the mean (farthest-first traversal; Gonzalez 1985), by the cosine of the square roots of their shares.

    Args:
        events: `user_id` and `item_id` of what users had.
        kinds: The kind of each item; others count nothing.
        count: How many to return; fewer where there are no more.
    """
    known = events.assign(kind=events["item_id"].map(kinds)).dropna(subset=["kind", "user_id"])
    users, kind_codes = known["user_id"].astype("category"), known["kind"].astype("category")
    names = list(kind_codes.cat.categories)
    table = csr_matrix(
        (np.ones(len(known)), (users.cat.codes, kind_codes.cat.codes)), shape=(len(users.cat.categories), len(names))
    )
    totals = np.asarray(table.sum(axis=1)).ravel()
    if not len(totals):
        return []
    enough = max(LEAST_EVENTS, float(np.quantile(totals, ACTIVE)))
    rows = np.flatnonzero(totals >= enough)
    shares = np.asarray(table[rows].todense()) / totals[rows, None]  # [users, kinds]
    mean = np.asarray(table.sum(axis=0)).ravel() / totals.sum()  # [kinds]
    chosen = _choose_farthest(np.sqrt(shares), np.sqrt(mean), count)
    ids = users.cat.categories
    return [
        Shopper(str(ids[rows[row]]), int(totals[rows[row]]), _name_habits(shares[row], mean, names)) for row in chosen
    ]


def _choose_farthest(vectors: NDArray[np.float64], mean: NDArray[np.float64], count: int) -> list[int]:
    """Returns the rows of unit vectors that lie farthest apart, the mean as the first that is there already."""
    nearest = vectors @ mean  # the likeness to the most similar of those chosen
    chosen: list[int] = []
    while len(chosen) < min(count, len(vectors)):
        row = int(np.argmin(nearest))
        chosen.append(row)
        nearest = np.maximum(nearest, vectors @ vectors[row])
    return chosen


def _name_habits(shares: NDArray[np.float64], mean: NDArray[np.float64], names: list[str]) -> tuple[str, ...]:
    """Returns the kinds of which a user has most beyond what all have."""
    beyond = shares - mean
    order = np.argsort(-beyond, kind="stable")[:HABITS]
    return tuple(names[kind].rsplit(" > ", 1)[-1] for kind in order if beyond[kind] > 0)


def _read_kinds(bundle: Bundle) -> dict[str, str]:
    """Returns the kind of each item that has a category."""
    kinds: dict[str, str] = {}
    for row in range(len(bundle.items)):
        category = json.loads(bundle.records.raw(row)).get("category")
        path = category[0] if isinstance(category, list) and category else category
        if isinstance(path, str):
            kinds[bundle.items.id_of(row).decode()] = " > ".join(path.split(" > ")[:KIND_LEVELS])
    return kinds
