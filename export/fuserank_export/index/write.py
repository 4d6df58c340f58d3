"""Writes a catalogue's arrays, its records and the users' histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fuserank_ensemble.bundle import DISLIKES, USERS
from fuserank_ensemble.catalog.items import Records
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_export.index.catalog import Indexed
from fuserank_export.sources import Interactions


def write_index(folder: Path, indexed: Indexed, log: Interactions) -> None:
    """Writes what serving maps of a catalogue and a log into a bundle's `index/`."""
    indexed.items.save(folder / "items")
    Records.save(folder / "items", indexed.records)
    user_ids = np.asarray([user.encode() for user in log.user_ids], "S")
    if log.segments.columns:
        log.segments.save(folder / USERS)
    if len(log.dislikes):
        disliking = np.asarray([user.encode() for user in log.dislikes.user_ids], "S")
        snapshot = HistorySnapshot.from_log(disliking, log.dislikes.user, log.dislikes.item, log.dislikes.timestamp)
        snapshot.save(folder / DISLIKES)
    HistorySnapshot.from_log(user_ids, log.user, log.item, log.timestamp, log.places).save(folder / "history")
