"""Chooses users of different habits from a log, for a demo that shows what the same query means to each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserank_ensemble.bundle import Bundle
from fuserank_export.builder.options import FileReading
from fuserank_export.sources import InputError
from fuserank_export.sources.log_reader import read_interactions

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


def read_shoppers(
    bundle: Path, interactions: str | Path, count: int, reading: FileReading | None = None
) -> list[Shopper]:
    """Returns users of a log whose habits differ most.

    Args:
        bundle: A bundle of the shop: what kind each item is.
        interactions: The log's files, with the users' own ids: a bundle has keyed hashes of them.
        count: How many users.
        reading: How the files are read; None reads them as those of the bundle were.

    Raises:
        BundleError: Where the bundle cannot be opened.
        InputError: Where the log cannot be used, or shows nobody's habits.
    """
    opened = Bundle.open(bundle, verify=())
    reading = reading or FileReading.from_manifest(opened.manifest["inputs"]["reading"])
    ids = [item.decode() for item in opened.items.ids.tolist()]
    log = read_interactions(
        interactions,
        ids,
        mapping=reading.mappings.interactions,
        max_bad_share=reading.max_bad_rows,
        max_unknown_share=reading.max_unknown_items,
        reading=reading.reading,
        disliked_below=reading.disliked_below,
        most_a_day=reading.most_a_day,
    )
    kinds = np.asarray([_read_kind(opened, row) for row in range(len(ids))], object)  # [items]
    users = np.asarray(log.user_ids, object)
    chosen = choose_shoppers(pd.DataFrame({"user": users[log.user], "kind": kinds[log.item]}), count)
    if not chosen:
        raise InputError(
            f"{interactions}: no user has {LEAST_EVENTS} events of items with a category; nobody's habits can be told"
        )
    return chosen


def choose_shoppers(events: pd.DataFrame, count: int) -> list[Shopper]:
    """Returns the users whose habits differ most from all users' and from each other's.

    The first is the active user who is least like the mean of all, each further one the user who is least like those
    before and the mean (farthest-first traversal; Gonzalez 1985), by the cosine of the square roots of their shares.

    Args:
        events: `user`, and the `kind` of the item that the user had; one without a kind counts nothing.
        count: How many to return; fewer where there are no more.
    """
    known = events.dropna(subset=["kind"])
    users, kind_codes = known["user"].astype("category"), known["kind"].astype("category")
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
        nearest[chosen] = np.inf  # rounding leaves a user no farther from another of the same habits than from itself
    return chosen


def _name_habits(shares: NDArray[np.float64], mean: NDArray[np.float64], names: list[str]) -> tuple[str, ...]:
    """Returns the kinds of which a user has most beyond what all have."""
    beyond = shares - mean
    order = np.argsort(-beyond, kind="stable")[:HABITS]
    return tuple(names[kind].rsplit(" > ", 1)[-1] for kind in order if beyond[kind] > 0)


def _read_kind(bundle: Bundle, row: int) -> str | None:
    """Returns the first levels of an item's category; None where it has none."""
    category = json.loads(bundle.records.raw(row)).get("category")
    path = category[0] if isinstance(category, list) and category else category
    return " > ".join(path.split(" > ")[:KIND_LEVELS]) if isinstance(path, str) else None
