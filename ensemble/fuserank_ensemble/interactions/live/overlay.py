"""All users' and sessions' events since the bundle, in memory: one thread writes, readers need no lock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fuserank_ensemble.interactions.live.person import ItemRows, LivePerson, apply_entry
from fuserank_ensemble.state.entries import EVENT_KINDS, EventKind, Forget, Interaction, Logged, Personalise
from fuserank_ensemble.state.identity import IdentityKey, Subject
from fuserank_ensemble.state.log import EventLog, StateUnavailableError
from fuserank_ensemble.state.settings import State

MAX_PEOPLE = 100_000  # users and sessions in memory; beyond it the longest idle are read from the log when they ask

NOBODY = LivePerson()


@dataclass(frozen=True)
class LogStart:
    """Where a reader of the log begins.

    Attributes:
        held: Up to where the bundle holds the log.
        trimmed: Up to where the log was trimmed, where that is more.
    """

    held: int = 0
    trimmed: int = 0

    @classmethod
    def of(cls, log: EventLog, held: int = 0) -> LogStart:
        """Asks the log up to where it was trimmed."""
        return cls(held, max(held, log.trimmed_position()))

    def wished_before(self, wishes: Sequence[Logged]) -> dict[Subject, LivePerson]:
        """Returns what people asked for before, whose entries are not read any more; see `EventLog.wishes`."""
        people: dict[Subject, LivePerson] = {}
        for position, entry in wishes:
            if position > self.trimmed:
                continue
            if isinstance(entry, Personalise):
                people[entry.user] = replace(people.get(entry.user, NOBODY), personalised=entry.allowed)
            elif isinstance(entry, Forget) and position > self.held:  # the bundle was made before
                people[entry.user] = replace(people.get(entry.user, NOBODY), forgotten=True)
        return people


def read_person(
    log: EventLog, items: ItemRows, subject: Subject, start: LogStart, upto: int | None = None
) -> LivePerson:
    """Returns a user or a session as the log has it from a start on, up to a position."""
    person = start.wished_before(log.wishes(subject)).get(subject, NOBODY)
    for logged in log.read_subject(subject, upto):
        if logged.position > start.held:
            person = apply_entry(
                person,
                subject,
                logged,
                items,
                lambda source, before: read_person(log, items, source, start, before - 1),
            )
    return person


class LiveOverlay:
    """A `Consumer` of the log that knows every user's events since the bundle."""

    def __init__(
        self, items: ItemRows, max_people: int = MAX_PEOPLE, kinds: frozenset[EventKind] = frozenset(EVENT_KINDS)
    ) -> None:
        """Takes the catalogue, how many users and sessions to hold in memory, and which kinds of events to keep."""
        self._items, self._max_people, self._kinds = items, max_people, kinds
        self._state: State | None = None
        self._start = LogStart()
        self._people: dict[Subject, LivePerson] = {}
        self._idle: OrderedDict[Subject, None] = OrderedDict()  # longest idle first; the writer's alone
        self._identified: set[Subject] = set()  # sessions in memory with events of users, which may be forgotten
        self._evicted = False

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`."""
        self._start = LogStart.of(state.log, held)
        self._people = self._start.wished_before(state.log.wishes())
        self._state = state

    @property
    def key(self) -> IdentityKey | None:
        """The key of the log's users; None as long as the state has never answered."""
        return self._state.key if self._state else None

    def person(self, subject: Subject) -> LivePerson:
        """Returns a user or a session; any thread may ask.

        Raises:
            StateUnavailableError: Where it has to be read from a log that does not answer.
        """
        person = self._people.get(subject)
        if person is None and self._evicted and self._state:
            return read_person(self._state.log, self._items, subject, self._start)
        return person or NOBODY

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`."""
        for logged in batch:
            if isinstance(logged.entry, Interaction) and logged.entry.event not in self._kinds:
                continue
            for subject in logged.entry.subjects:
                self._update(subject, logged)
            if isinstance(logged.entry, Forget):
                self._drop_sessions()
        while len(self._idle) > self._max_people:
            self._evict(next(iter(self._idle)))

    def _update(self, subject: Subject, logged: Logged) -> None:
        entry = logged.entry
        try:
            person = self.person(subject)
            after = apply_entry(person, subject, logged, self._items, self._before)
        except StateUnavailableError:
            # Whoever asks for this one reads the log, which has the entry.
            self._evict(subject)
            return
        for source in set(person.sources) - set(after.sources):
            self._evict(source)
        self._people[subject] = after
        self._idle[subject] = None
        self._idle.move_to_end(subject)
        if isinstance(entry, Interaction) and entry.user and subject != entry.user:
            self._identified.add(subject)

    def _before(self, subject: Subject, position: int) -> LivePerson:
        """A user or a session as before the entry that is being applied."""
        person = self._people.get(subject)
        if person is None and self._evicted and self._state:
            return read_person(self._state.log, self._items, subject, self._start, position - 1)
        return person or NOBODY

    def _drop_sessions(self) -> None:
        """Lets the sessions that users' events are in be read anew: the log erases those of who is forgotten."""
        for session in list(self._identified):
            self._evict(session)

    def _evict(self, subject: Subject) -> None:
        # First the mark: who finds nobody then knows to look in the log.
        self._evicted = True
        self._people.pop(subject, None)
        self._idle.pop(subject, None)
        self._identified.discard(subject)
