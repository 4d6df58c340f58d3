"""Learns from a log what each kind of event counts: how often the user then takes the item, beyond chance.

Of a kind that comes before taking, such as a view, the strength is the share of its events after which the same user
took the same item in time, less the share that chance explains: `(p - b) / (1 - b)`. The share is the posterior mean of
a binomial rate whose beta prior lies at the stated one (Casella, An introduction to empirical Bayes data analysis, The
American Statistician 39, 1985).

Of a kind that says that an item is not wanted, such as a return, it is how much less often the item is taken again than
after a taking: `observed / expected - 1`, shrunk to -1 by a gamma prior (DuMouchel, Bayesian data mining in large
frequency tables, The American Statistician 53, 1999).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.blocks import BLOCK_EVENTS
from fuserank_ensemble.interactions.events import (
    CODES,
    EVENTS,
    LEAST_STRENGTH,
    NEGATIVE,
    NO_STRENGTH,
    POSITIVE,
    PRIORS,
    TAKES,
    EventTable,
    KindStrength,
)
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.cases.split import window_bounds

FOLLOW_DAYS = 28.0  # within which a taking follows an event
FOLLOW_SHARE = 0.25  # of a shorter log
LEAST_TAKINGS = 100  # events of a kind, for it to count as taking an item where a weaker kind has as many
PRIOR_EVENTS = 100.0  # of a kind, that its prior counts as much as
MANY_EVENTS = 1_000  # of a kind: after which it shows that no more follows them than by chance
BY_CHANCE = 2.0  # times the share of chance that may be chance
PRIOR_TAKINGS = 5.0  # expected ones after a kind below 0, that its prior counts as much as
AS_TAKING = ("rating",)  # its value says what it counts, and it comes after taking: what follows it tells nothing
STATED = ("hide",)  # what a user asks for is not learned


def weigh_log(log: Interactions, table: EventTable | None = None) -> Interactions:
    """Returns the log with the weight of every event, and the table that it has them from.

    Args:
        log: The log as it was read: its weights are those that ratings have among ratings.
        table: The strengths; None learns them from the log, but for its last window, which rankers are measured on.
    """
    if table is None:
        bounds = window_bounds(log.timestamp, LogSpan.of(log.timestamp))
        table = learn_event_table(log, bounds[-2] if bounds else np.inf)
    by_kind, negatives = table.strengths, log.negatives
    weights = log.weights * by_kind[log.event]
    return replace(
        log,
        weight=weights if (weights != 1).any() else None,
        negatives=replace(negatives, weight=negatives.weight * np.abs(by_kind[negatives.event])),
        table=table,
    )


def learn_event_table(log: Interactions, end: float) -> EventTable:
    """Returns the strengths of all kinds.

    The strongest kind of `TAKES` of which the log has events enough counts as taking an item, and 1; so does every kind
    that is stronger by its prior. Where only one kind occurs, nothing else follows from the table.

    Args:
        log: The log.
        end: Epoch seconds; later events are not looked at.
    """
    early = slice(None) if end == np.inf else log.before(end)
    event = log.event[early]
    counts = np.bincount(event, minlength=len(EVENTS))
    present = [name for name in TAKES if counts[CODES[name]]]
    enough = [name for name in present if counts[CODES[name]] >= LEAST_TAKINGS]
    taking = (enough or present or list(TAKES))[0]
    pairs = _Pairs(log.user[early], log.item[early], log.timestamp[early], len(log.item) and int(log.item.max()) + 1)
    days = min(FOLLOW_DAYS, FOLLOW_SHARE * pairs.span / SECONDS_PER_DAY)
    takings = pairs.part(event == CODES[taking])
    kinds: dict[str, KindStrength] = {}
    for name in POSITIVE:
        prior = min(PRIORS[name] / PRIORS[taking], 1.0)
        of_kind = pairs.part(event == CODES[name])
        if name == taking:
            kinds[name] = KindStrength(1.0, "taken", len(of_kind))
        elif name in AS_TAKING or prior == 1.0 or not days:
            kinds[name] = KindStrength(prior, "prior", len(of_kind))
        else:
            kinds[name] = _strength_before(of_kind, takings, days, prior)
    lowering = log.negatives.before(end)
    for name in NEGATIVE:
        kept = lowering.part(lowering.event == CODES[name])
        of_kind = pairs.others(kept.user, kept.item, kept.timestamp)
        if name in STATED or not days:
            kinds[name] = KindStrength(PRIORS[name], "prior", len(of_kind))
        else:
            kinds[name] = _strength_against(of_kind, takings, days, PRIORS[name])
    return replace(log.table, kinds={name: kinds[name] for name in EVENTS}, taking=taking, days=days)


def describe_table(table: EventTable) -> str:
    """Returns one line on what the kinds of events count that the log has; empty where there is but one."""
    present = [(name, kind) for name, kind in table.kinds.items() if kind.events]
    if len(present) < 2:
        return ""
    strengths = ", ".join(
        f"{name} {kind.strength:.2g}{' (prior)' * (kind.source == 'prior')}"
        for name, kind in sorted(present, key=lambda entry: -entry[1].strength)
    )
    return f"what an event counts, in events of the kind {table.taking}: {strengths}"


class _Pairs:
    """Events of users with items, and when each comes; sorted by user, item and time."""

    def __init__(
        self, user: NDArray[np.int32], item: NDArray[np.int32], times: NDArray[np.int64], items: int, span: int = 0
    ) -> None:
        self.user, self.item, self.items = user, item, items
        self.times, self.start = times, int(times.min()) if len(times) else 0
        self.span = span or (int(times.max()) - self.start if len(times) else 0)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def key(self) -> NDArray[np.int64]:
        """One number for each user and item, int64 `[events]`."""
        return self.user.astype(np.int64) * max(self.items, 1) + self.item

    def part(self, kept: NDArray[np.bool_]) -> _Pairs:
        """Returns some of the events of the same log."""
        return self.others(self.user[kept], self.item[kept], self.times[kept])

    def others(self, user: NDArray[np.int32], item: NDArray[np.int32], times: NDArray[np.int64]) -> _Pairs:
        """Returns other events, with the time that this log covers."""
        other = _Pairs(user, item, times, self.items, self.span)
        other.start = self.start
        return other

    def by_users(self, others: _Pairs) -> Iterator[tuple[_Pairs, _Pairs]]:
        """Yields these events and others of the same log by some users at a time: sorting all takes much memory."""
        users = max(int(part.user.max(initial=-1)) for part in (self, others)) + 1
        counts = np.bincount(self.user, minlength=users) + np.bincount(others.user, minlength=users)
        block = (np.cumsum(counts) // BLOCK_EVENTS).astype(np.int32)  # `[users]`
        for number in np.unique(block):
            yield self.part(block[self.user] == number), others.part(block[others.user] == number)

    def first_in_time(self, seconds: float) -> _Pairs:
        """Returns the first event of each user and item, of those after which `seconds` of the log remain."""
        kept = np.zeros(len(self), np.bool_)
        order = np.lexsort((self.times, self.key))
        kept[order[np.flatnonzero(np.diff(self.key[order], prepend=-1))]] = True
        return self.part(kept & (self.times <= self.start + self.span - seconds))

    def followed(self, takings: _Pairs, seconds: float, after: int) -> NDArray[np.bool_]:
        """Returns after which events the same user took the same item, from `after` to `seconds` later, `[events]`."""
        if not len(takings) or not len(self):
            return np.zeros(len(self), np.bool_)
        codes = np.unique(np.concatenate([takings.key, self.key]), return_inverse=True)[1].astype(np.int64)
        # Pair and time as one number; those of different pairs are further apart than any time that is asked for.
        stride = int(self.span + 2 * seconds) + 2
        taken = np.sort(codes[: len(takings)] * stride + (takings.times - self.start))
        asked = codes[len(takings) :] * stride + (self.times - self.start)
        nearest = taken[np.minimum(np.searchsorted(taken, asked + after), len(taken) - 1)] - asked
        followed: NDArray[np.bool_] = (nearest >= after) & (nearest <= seconds)
        return followed


def _strength_before(of_kind: _Pairs, takings: _Pairs, days: float, prior: float) -> KindStrength:
    """The strength of a kind that comes before taking an item."""
    seconds, items = days * SECONDS_PER_DAY, max(takings.items, 1)
    taken, by_item, takers = 0, np.zeros(items, np.int64), np.zeros(items, np.int64)
    for of_users, takings_of_users in of_kind.by_users(takings):
        events = of_users.first_in_time(seconds)
        taken += int(events.followed(takings_of_users, seconds, after=0).sum())
        by_item += np.bincount(events.item, minlength=items)
        takers += np.bincount(np.unique(takings_of_users.key) % items, minlength=items)
    count = int(by_item.sum())
    if not count:
        return KindStrength(prior, "prior", len(of_kind))
    # How often a user takes an item in so much time who is as any other.
    users = max(len(np.unique(takings.user)), len(np.unique(of_kind.user)), 1)
    rates = 1.0 - (1.0 - takers / users) ** min(seconds / max(takings.span, 1), 1.0)
    base = float(np.clip((rates * by_item).sum() / count, 0.0, 0.99))
    share = (taken + PRIOR_EVENTS * prior) / (count + PRIOR_EVENTS)
    strength = float(np.clip((share - base) / (1.0 - base), LEAST_STRENGTH, 1.0))
    if count >= MANY_EVENTS and taken <= BY_CHANCE * base * count:
        strength = NO_STRENGTH
    return KindStrength(strength, "learned", count, taken / count, base)


def _strength_against(of_kind: _Pairs, takings: _Pairs, days: float, prior: float) -> KindStrength:
    """The strength of a kind that says that an item is not wanted."""
    seconds = days * SECONDS_PER_DAY
    count, taken, first_count, taken_again = 0, 0, 0, 0
    for of_users, takings_of_users in of_kind.by_users(takings):
        events, first_takings = of_users.first_in_time(seconds), takings_of_users.first_in_time(seconds)
        count, first_count = count + len(events), first_count + len(first_takings)
        taken += int(events.followed(takings_of_users, seconds, after=1).sum())
        taken_again += int(first_takings.followed(takings_of_users, seconds, after=1).sum())
    if not count or not first_count:
        return KindStrength(prior, "prior", len(of_kind))
    again = taken_again / first_count
    ratio = (taken + PRIOR_TAKINGS * (1.0 + prior)) / (count * again + PRIOR_TAKINGS)
    strength = float(np.clip(ratio - 1.0, -1.0, -LEAST_STRENGTH))
    return KindStrength(strength, "learned", count, taken / count, again)
