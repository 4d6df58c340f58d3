"""Writes a catalogue's arrays and its records, and the users' histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fuserank_ensemble.bundle import DISLIKES, HIDDEN, USERS
from fuserank_ensemble.catalog.items import Records
from fuserank_ensemble.interactions.events import HIDE, NegativeEvents
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_export.index.catalog import Indexed
from fuserank_export.sources import Interactions
from fuserank_export.sources.ratings import keep_users


def write_items(folder: Path, indexed: Indexed) -> None:
    """Writes what serving maps of a catalogue into a bundle's `index/`."""
    indexed.items.save(folder / "items")
    Records.save(folder / "items", indexed.records)


def write_histories(folder: Path, log: Interactions) -> None:
    """Writes what serving maps of a log's users into a bundle's `index/`."""
    user_ids = np.asarray([user.encode() for user in log.user_ids], "S")
    if log.segments.columns:
        log.segments.save(folder / USERS)
    negatives = log.negatives
    for name, kept in ((DISLIKES, negatives.event != HIDE), (HIDDEN, negatives.event == HIDE)):
        if kept.any():
            _sum_up_negatives(negatives.part(kept)).save(folder / name)
    HistorySnapshot.from_log(
        user_ids, log.user, log.item, log.timestamp, log.places, weights=log.weights, negatives=negatives
    ).save(folder / "history")


def _sum_up_negatives(negatives: NegativeEvents) -> HistorySnapshot:
    """Returns by user and item how much negative events lower."""
    user, user_ids = keep_users(negatives.user, negatives.user_ids)
    # Users without other events stand behind the log's: the snapshot wants all by id.
    order = np.argsort(np.asarray([name.encode() for name in user_ids], "S"), kind="stable")
    position = np.empty(len(order), np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    encoded = np.asarray([user_ids[row].encode() for row in order.tolist()], "S")
    return HistorySnapshot.from_log(
        encoded, position[user], negatives.item, negatives.timestamp, weights=negatives.weight
    )
