"""Who had the items that came since the bundle: a reader of the log, from whose findings these items get factors.

One thread writes; readers take a whole value without a lock. What it says follows from the log up to its position
alone, in whatever batches it was read: a user's factors are those of what the log has of the user before the event.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.interactions.events import CODES
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.live.overlay import LogStart, read_person
from fuserank_ensemble.interactions.live.users import Users
from fuserank_ensemble.retrieval.channel import FactorChannel
from fuserank_ensemble.retrieval.fold_in import FirstUsers, NewItemUsers
from fuserank_ensemble.state.entries import Forget, Interaction, Logged, Merge
from fuserank_ensemble.state.identity import Subject
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import State

MAX_USERS = 64  # of one item, latest kept: they say what more of them would
MAX_PAIRS = 20_000  # of item and user in all, latest kept
SECONDS = 0.25  # between two values
# Users whose entries are read for one value: who waits for a position waits for that, too. The others are read for the
# next.
READS = 50
SAMPLED_USERS = 512  # of the bundle, whose factors say how the shop's users differ


@dataclass(frozen=True)
class _Pair:
    """A user's events with a new item."""

    subject: Subject  # under whom the log has the last of them
    position: int  # of that one
    strength: float  # what all of them count
    solved: tuple[NDArray[np.float32], float] | None = None  # see `FactorChannel.solve_bundled`
    known: bool = False  # whether `solved` has been looked for


class LiveFirstUsers:
    """A `Consumer` of the log, behind the catalogue.

    Attributes:
        current: Who had each new item; a value that is replaced whole.
    """

    def __init__(self, bundle: Bundle, catalog: LiveCatalog, channel: FactorChannel) -> None:
        """Takes the bundle, its catalogue as it changes, and what solves users' factors."""
        self._bundle, self._catalog, self._channel = bundle, catalog, channel
        self._bundled, self._table = len(bundle.items), bundle.event_table
        self.current = NewItemUsers()
        self._state: State | None = None
        self._start = LogStart()
        self._pairs: OrderedDict[tuple[int, Subject], _Pair] = OrderedDict()  # the pair that is longest idle first
        self._of_item: dict[int, OrderedDict[Subject, None]] = {}  # the same by item
        self._changed: set[int] = set()  # items whose users are others than `current` has
        self._position, self._published = 0, -np.inf

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`."""
        self._state, self._start = state, LogStart.of(state.log, held)

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`. An empty batch says that there is no more for now."""
        for logged in batch:
            if logged.position > self._position:
                self._position = logged.position
                self._take(logged)
        if self._changed and time.monotonic() - self._published >= SECONDS:
            self._published = time.monotonic()  # before: what fails is not tried again for each entry of the batch
            self.publish()

    def publish(self) -> None:
        """Makes a value of all that was read, as far as the users' own entries can be read now."""
        with suppress(StateUnavailableError):
            self._solve_users()
        self._replace()

    def finish(self) -> None:
        """Makes a value of all that was read, however long that takes.

        Raises:
            StateUnavailableError: Where the log does not answer.
        """
        while self._changed:
            self._solve_users()
            self._replace()

    def _replace(self) -> None:
        rows = {
            row for row in self._changed if all(self._pairs[row, user].known for user in self._of_item.get(row, ()))
        }
        by_row = {row: users for row, users in self.current.by_row.items() if row not in rows}
        by_row |= {row: users for row in sorted(rows) if (users := self._first_users(row))}
        self._changed -= rows
        if rows:
            position = None if self._changed else self._position
            self.current = NewItemUsers(by_row, self._precision if by_row else self.current.precision, position)

    def _take(self, logged: Logged) -> None:
        position, entry = logged
        if isinstance(entry, Interaction) and entry.event in CODES:  # an impression is nothing that anybody did
            row = self._catalog.row_at(entry.item_id, position)
            value = np.nan if entry.value is None else entry.value
            strength = self._table.strength(entry.event, value) if row >= self._bundled else 0.0
            if strength:
                owner = entry.user or entry.session
                before = self._pairs.get((row, owner))
                self._add(row, owner, _Pair(owner, position, strength + (before.strength if before else 0.0)))
        elif isinstance(entry, Merge):
            for row in self._items_of(entry.source):
                pair, other = self._remove(row, entry.source), self._pairs.get((row, entry.user))
                self._add(row, entry.user, replace(pair, strength=pair.strength + (other.strength if other else 0.0)))
        elif isinstance(entry, Forget):
            for row in self._items_of(entry.user):
                self._remove(row, entry.user)

    def _items_of(self, owner: Subject) -> list[int]:
        return [row for row, users in self._of_item.items() if owner in users]

    def _add(self, row: int, owner: Subject, pair: _Pair) -> None:
        self._pairs[row, owner] = pair
        self._pairs.move_to_end((row, owner))
        users = self._of_item.setdefault(row, OrderedDict())
        users[owner] = None
        users.move_to_end(owner)
        self._changed.add(row)
        if len(users) > MAX_USERS:
            self._remove(row, next(iter(users)))
        if len(self._pairs) > MAX_PAIRS:
            self._remove(*next(iter(self._pairs)))

    def _remove(self, row: int, owner: Subject) -> _Pair:
        del self._of_item[row][owner]
        self._changed.add(row)
        return self._pairs.pop((row, owner))

    def _solve_users(self) -> None:
        """Looks for the factors of users as they were before their last event with an item.

        Raises:
            StateUnavailableError: Where the log does not answer; what was read until then is kept.
        """
        for (row, owner), pair in self._unsolved(READS):
            assert self._state is not None
            person = read_person(self._state.log, self._catalog, pair.subject, self._start, pair.position - 1)
            known = self._users.of_person(pair.subject, person)
            disliked = known.disliked or History.empty()
            solved = self._channel.solve_bundled(known.seen, disliked)
            self._pairs[row, owner] = replace(pair, solved=solved, known=True)

    def _unsolved(self, count: int) -> list[tuple[tuple[int, Subject], _Pair]]:
        keys = ((row, owner) for row in sorted(self._changed) for owner in self._of_item.get(row, ()))
        found: Iterator[tuple[tuple[int, Subject], _Pair]] = (
            (key, self._pairs[key]) for key in keys if not self._pairs[key].known
        )
        return [pair for pair, _ in zip(found, range(count), strict=False)]

    def _first_users(self, row: int) -> FirstUsers | None:
        """The users of an item who have factors; None where nobody has."""
        pairs = [self._pairs[row, owner] for owner in self._of_item.get(row, ())]
        solved = [(pair.strength, *pair.solved) for pair in pairs if pair.solved is not None and pair.strength]
        if not solved:
            return None
        strengths, factors, scores = zip(*solved, strict=True)
        return FirstUsers(np.stack(factors), np.asarray(strengths, np.float32), np.asarray(scores, np.float32))

    @cached_property
    def _users(self) -> Users:
        bundle = self._bundle
        return Users(bundle.histories, bundle.dislikes, bundle.hidden, self._table, None)

    @cached_property
    def _precision(self) -> NDArray[np.float64]:
        """How firmly near items hold a new one, by the factors of some of the bundle's users, evenly drawn."""
        histories = self._bundle.histories
        rows = np.unique(np.linspace(0, max(len(histories) - 1, 0), min(SAMPLED_USERS, len(histories))).astype(int))
        solved = [self._channel.solve_bundled(histories.at(row), History.empty()) for row in rows.tolist()]
        return self._channel.prior_precision([user for user, _ in filter(None, solved)])
