"""Training cases from what a shop showed: the lists that its users saw, and what they took from each.

A click says that an item was seen and wanted; no click may mean that nobody looked so far down. The position is
therefore learned along with the ranker and left out when it serves, see `fuserank_export.training.model.position`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_export.sources.interactions import EVENTS, Interactions
from fuserank_export.training.cases.builder import Kind, Shown, TrainingQuery

ANSWER_SECONDS = 30 * 60  # within which what a user does with a shown item answers the list
ANSWERS = tuple(EVENTS.index(name) for name in ("click", "cart", "purchase"))


@dataclass(frozen=True)
class ShownList:
    """A list as one user saw it.

    Attributes:
        user: As in `Impressions.user`.
        query: Text; empty for a recommendation.
        moment: When its first item was shown, epoch seconds.
        shown: Its items and their positions.
        taken: Of its items, what the user clicked, put into the cart or bought in time, int32 `[taken]`.
    """

    user: int
    query: str
    moment: int
    shown: Shown
    taken: NDArray[np.int32]


def shown_lists(log: Interactions, start: float, end: float) -> list[ShownList]:
    """The lists of a time window, in order of time.

    A list is what one user was shown for one query in one session, or in one second where the log names no session.
    An item that it holds twice counts where it was shown first. Lists that could still be answered when the window
    ends are left out: what comes after the window is not for this one to know.

    Args:
        log: The log.
        start: First moment of the window, epoch seconds.
        end: First moment after it.
    """
    told = log.impressions
    inside = np.flatnonzero((told.timestamp >= start) & (told.timestamp < end))
    if not len(inside):
        return []
    frame = pd.DataFrame(
        {
            "user": told.user[inside],
            "query": told.query[inside],
            "session": told.session[inside],
            "second": np.where(told.session[inside] == 0, told.timestamp[inside], 0),
            "item": told.item[inside],
            "position": told.position[inside],
            "time": told.timestamp[inside],
        }
    )
    key = ["user", "query", "session", "second"]
    frame = frame.drop_duplicates([*key, "item"])
    frame["taken"] = _taken(log, frame, start)
    frame["list"] = frame.groupby(key, sort=False).ngroup()
    frame = frame.sort_values(["list", "position", "time"], kind="stable")
    starts = np.flatnonzero(np.diff(frame["list"].to_numpy(), prepend=-1))
    items, positions, taken = (frame[name].to_numpy() for name in ("item", "position", "taken"))
    users, codes = frame["user"].to_numpy()[starts], frame["query"].to_numpy()[starts]
    times = frame.groupby("list")["time"]
    first, last = times.min().to_numpy(), times.max().to_numpy()
    found = []
    for i, of in enumerate(np.split(np.arange(len(frame)), starts[1:])):
        if last[i] + ANSWER_SECONDS >= end:
            continue
        shown = Shown(items[of].astype(np.int32), positions[of].astype(np.int32))
        query = told.queries[codes[i]] if codes[i] >= 0 else ""
        found.append(ShownList(int(users[i]), query, int(first[i]), shown, shown.rows[taken[of]]))
    return found


def _taken(log: Interactions, frame: pd.DataFrame, start: float) -> NDArray[np.bool_]:
    """Which of the shown items their users took within the time for it, bool `[rows]`."""
    does = np.isin(log.event, ANSWERS) & (log.timestamp >= start)
    acts = pd.DataFrame({"user": log.user[does], "item": log.item[does], "act": log.timestamp[does]})
    # For each impression the first such event of its user with its item from then on; both are in order of time.
    met = pd.merge_asof(
        frame[["user", "item", "time"]],
        acts,
        left_on="time",
        right_on="act",
        by=["user", "item"],
        direction="forward",
        tolerance=ANSWER_SECONDS,
    )
    taken: NDArray[np.bool_] = met["act"].notna().to_numpy()
    return taken


def list_asks(
    lists: Sequence[ShownList], past: HistorySnapshot, start: float, count: int, seed: int
) -> list[TrainingQuery]:
    """Asks of shown lists, as they would have been asked at the start of their window.

    Only what was shown has a label, and only for the click head: what a user was not shown, nobody knows of.

    Args:
        lists: A window's lists.
        past: Users' histories before `start`.
        start: First moment of the window, epoch seconds.
        count: How many lists to draw at most.
        seed: Of the draw.
    """
    draw = np.random.default_rng(seed)
    kept = np.sort(draw.permutation(len(lists))[:count])
    asks = []
    for each in (lists[i] for i in kept):
        known = each.user < len(past)
        seen, places = (past.at(each.user), past.places(each.user)) if known else (History.empty(), {})
        kind: Kind = "user" if not each.query else "both" if len(seen) else "query"
        asks.append(TrainingQuery(kind, each.query, seen, start, None, each.taken, None, places, each.shown))
    return asks
