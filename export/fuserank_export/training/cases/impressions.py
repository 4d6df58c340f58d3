"""Training cases from what a shop showed: the lists that its users saw, and what they took from each.

A click says that an item was seen and wanted; no click may mean that nobody looked so far down. The position is
therefore learned along with the ranker and left out when it serves, see `fuserank_export.training.model.position`.
Where lists explore, each item's propensity is known: what was seldom shown stands for what was not, see
`fuserank_export.training.fitting.propensity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import CODES
from fuserank_ensemble.interactions.history import History, HistorySnapshot
from fuserank_ensemble.interactions.segments import UserSegments
from fuserank_export.sources import Impressions
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.training_query import Kind, Shown, TrainingQuery

ANSWER_SECONDS = 30 * 60  # within which what a user does with a shown item answers the list
ANSWERED_BY = ("click", "cart", "purchase", "favourite", "share")
ANSWERS = tuple(CODES[name] for name in ANSWERED_BY)


@dataclass(frozen=True)
class ShownList:
    """A list as one user saw it.

    Attributes:
        user: As in `Impressions.user`.
        query: Text; empty for a recommendation.
        moment: When its first item was shown, epoch seconds.
        shown: Its items and their positions.
        taken: Of its items, what the user clicked or took otherwise in time, see `ANSWERS`, int32 `[taken]`.
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
    impressions = log.impressions
    inside = np.flatnonzero((impressions.timestamp >= start) & (impressions.timestamp < end))
    if not len(inside):
        return []
    frame = _impression_rows(impressions, inside)
    frame["taken"] = _taken(log, frame, start)
    frame = frame.sort_values(["list", "position", "time"], kind="stable")
    starts = np.flatnonzero(np.diff(frame["list"].to_numpy(), prepend=-1))
    items, positions, taken, propensities = (
        frame[name].to_numpy() for name in ("item", "position", "taken", "propensity")
    )
    users, codes = frame["user"].to_numpy()[starts], frame["query"].to_numpy()[starts]
    times = frame.groupby("list")["time"]
    first, last = times.min().to_numpy(), times.max().to_numpy()
    lists = []
    for i, rows in enumerate(np.split(np.arange(len(frame)), starts[1:])):
        if last[i] + ANSWER_SECONDS >= end:
            continue
        shown = Shown(
            items[rows].astype(np.int32), positions[rows].astype(np.int32), propensities[rows].astype(np.float32)
        )
        query = impressions.queries[codes[i]] if codes[i] >= 0 else ""
        lists.append(ShownList(int(users[i]), query, int(first[i]), shown, shown.rows[taken[rows]]))
    return lists


def _impression_rows(impressions: Impressions, inside: NDArray[np.int64]) -> pd.DataFrame:
    """The impressions at some positions, each item of a list once, with the number of its `list`."""
    sessions, times = impressions.session[inside], impressions.timestamp[inside]
    frame = pd.DataFrame(
        {
            "user": impressions.user[inside],
            "query": impressions.query[inside],
            "session": sessions,
            "second": np.where(sessions == 0, times, 0),
            "item": impressions.item[inside],
            "position": impressions.position[inside],
            "propensity": impressions.propensity[inside],
            "time": times,
        }
    )
    key = ["user", "query", "session", "second"]
    frame = frame.drop_duplicates([*key, "item"])
    frame["list"] = frame.groupby(key, sort=False).ngroup()
    return frame


def _taken(log: Interactions, frame: pd.DataFrame, start: float) -> NDArray[np.bool_]:
    """Which of the shown items their users took within the time for it, bool `[rows]`."""
    answers = np.isin(log.event, ANSWERS) & (log.timestamp >= start)
    events = pd.DataFrame({"user": log.user[answers], "item": log.item[answers], "answered": log.timestamp[answers]})
    # For each impression the first such event of its user with its item from then on; both are in order of time.
    first_answers = pd.merge_asof(
        frame[["user", "item", "time"]],
        events,
        left_on="time",
        right_on="answered",
        by=["user", "item"],
        direction="forward",
        tolerance=ANSWER_SECONDS,
    )
    taken: NDArray[np.bool_] = first_answers["answered"].notna().to_numpy()
    return taken


def impression_queries(
    lists: Sequence[ShownList],
    past: HistorySnapshot,
    start: float,
    *,
    count: int,
    seed: int,
    segments: UserSegments | None = None,
) -> list[TrainingQuery]:
    """Draws training queries from shown lists, as they would have been asked at the start of their window.

    Only what was shown has a label, and only for the click head: what a user was not shown, nobody knows of.

    Args:
        lists: A window's lists.
        past: Users' histories before `start`.
        start: First moment of the window, epoch seconds.
        count: How many lists to draw at most.
        seed: Of the draw.
        segments: What the shop says of its users; None says nothing.
    """
    draw, segments = np.random.default_rng(seed), segments or UserSegments.empty()
    kept = np.sort(draw.permutation(len(lists))[:count])
    queries = []
    for shown_list in (lists[i] for i in kept):
        user, text = shown_list.user, shown_list.query
        known = user < len(past)
        seen, places = (past.at(user).copied(), past.places(user)) if known else (History.empty(), {})
        groups = segments.values(past.users[user].decode(), start) if known else {}
        kind: Kind = "user" if not text else "both" if len(seen) else "query"
        queries.append(
            TrainingQuery(kind, text, seen, start, None, shown_list.taken, None, places, shown_list.shown, groups)
        )
    return queries
