"""Asks a bundle what the requests of a log were asked, as it would have answered then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fuserank_ensemble.contract.options import MAX_HISTORY
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.identity import Subject, hashed_name
from fuserank_ensemble.state.settings import State
from fuserank_evaluation.datasets.shown_lists import ListKey


class Target:
    """A bundle with options of `search`, as the target of an off-policy estimate."""

    def __init__(self, graph: LocalGraph, state: State, options: Mapping[str, Any]) -> None:
        """Takes a bundle that names users as the log does.

        Args:
            graph: The bundle, without a state of its own.
            state: The log and its key.
            options: Options of `search` for all requests, such as `objective`.

        Raises:
            BundleError: Where the bundle names users under another key.
        """
        graph.bundle.check_user_key(state.key)
        self._graph, self._state, self._options = graph, state, dict(options)
        self._events = graph.bundle.event_table
        snapshot = graph.bundle.snapshot_position
        self._held = snapshot.position if snapshot.id == state.log.id else 0

    def answer(self, key: ListKey, moment: float, log_position: int, k: int) -> list[str]:
        """Returns the item ids that the bundle lists, best first.

        Args:
            key: Who asked, and what.
            moment: When, epoch seconds.
            log_position: What the log said before it counts.
            k: How many items.
        """
        user = hashed_name(key.subject)
        stored = self._graph.bundle.histories.get(user)
        live = list(self._taken(key.subject, log_position))
        options: dict[str, Any] = {**self._options, "k": k, "context": {"timestamp": moment}}
        if live or stored is None:
            # A history that is given replaces the stored one, so it begins with that.
            options["history"] = [*self._item_ids(stored), *live][-MAX_HISTORY:]
        answer = self._graph.search(key.query, user, **options)
        return [item.decode() for item in answer["ITEM_ID"][0] if item]

    def _item_ids(self, history: History | None) -> list[str]:
        """The items of a stored history, oldest first."""
        if history is None:
            return []
        ids = self._graph.bundle.items.ids
        return [bytes(ids[row]).decode() for row in history.rows[np.argsort(history.last, kind="stable")]]

    def _taken(self, subject: Subject, log_position: int) -> Iterator[str]:
        """What the user, else the session, wanted since the bundle and before a position of the log, oldest first."""
        for position, entry in self._state.log.read_subject(subject, log_position - 1):
            if isinstance(entry, Interaction) and position > self._held:
                kind = self._events.kinds.get(entry.event)
                if kind is not None and kind.strength > 0 and entry.event != "rating":
                    yield entry.item_id


def read_options(text: str) -> dict[str, Any]:
    """Returns options of `search` that hold for all requests, from a JSON object.

    Raises:
        ValueError: Where it is none, or sets what the log says or what draws lists at random.
    """
    options = json.loads(text)
    if not isinstance(options, dict):
        raise ValueError(f"options: found {text}; allowed: a JSON object of options of search")
    for name in ("k", "history", "session_id", "explore", "min_position", "context"):
        if name in options:
            raise ValueError(f"options.{name}: the log says it, or it draws at random; allowed: any other option")
    return options
