"""The log as a step of the graph follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from fuserank_ensemble.bundle import LEXICAL, SYNONYMS, Bundle
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.graph.live.background_writer import BackgroundWriter
from fuserank_ensemble.graph.live.first_users import LiveFirstUsers
from fuserank_ensemble.graph.retrieval import open_retriever
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.interactions.live.popularity import LivePopularity
from fuserank_ensemble.retrieval.lexical.live import LiveWords
from fuserank_ensemble.state.entries import EVENT_KINDS, EventKind, Logged
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import OFTEN_SECONDS, Consumer, LogTail

# Between two reads of the log where no search is answered: the cores are the searches'.
SELDOM_SECONDS = 0.1
MAX_WAIT_SECONDS = 0.25  # for a position: what is acknowledged is known far sooner, unless the log is away
MakeConsumer = Callable[[LiveCatalog], Consumer]
STALE = "stale"  # in `STATUS.degraded`: what was asked for, or the latest, does not count yet
EVERY_KIND: frozenset[EventKind] = frozenset(EVENT_KINDS)
NO_KIND: frozenset[EventKind] = frozenset()


class Searched(NamedTuple):
    """What a request finds items in.

    Attributes:
        catalog: The catalogue.
        retriever: The retriever over it.
        counted: Up to which position of the log all users' events count in it, 0 where the bundle's do alone.
    """

    catalog: CatalogSnapshot
    retriever: Retriever
    counted: int = 0


class RetrieverFollower:
    """A `Consumer` of the log, behind those that it reads: the retriever over the items and events as they are now.

    Attributes:
        current: What items are found in now; a value that is replaced whole.
    """

    def __init__(
        self,
        catalog: LiveCatalog,
        words: LiveWords,
        popularity: LivePopularity,
        first_users: LiveFirstUsers | None,
        retriever: Retriever,
    ) -> None:
        """Takes what changes, and the retriever over the bundle's items.

        Args:
            catalog: The catalogue.
            words: Its words.
            popularity: All users' events.
            first_users: Who had the new items; None where no channel has factors.
            retriever: The retriever.
        """
        self._catalog, self._words, self._popularity, self._first_users = catalog, words, popularity, first_users
        self.current = Searched(catalog.current, retriever)

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`; it needs nothing of the state."""
        del state, held

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`; what changed is read from the others."""
        del batch
        snapshot, retriever, counted = self._catalog.current, self.current.retriever, self._popularity.current
        if snapshot is not self.current.catalog:
            retriever = retriever.over(snapshot, self._words.current)
        if self._first_users:
            retriever = retriever.with_first_users(self._first_users.current)
        if counted.position:
            retriever = retriever.with_popularity(counted.popularity)
        if snapshot is not self.current.catalog or retriever is not self.current.retriever:
            self.current = Searched(snapshot, retriever, counted.position)


class KeyCheck:
    """A `Consumer` of the log before all others: refuses a state whose users a bundle names under another key."""

    def __init__(self, bundle: Bundle) -> None:
        """Takes the bundle."""
        self._bundle = bundle

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`.

        Raises:
            BundleError: Where the keys differ.
        """
        del held
        self._bundle.check_user_key(state.key)

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`; it needs no entries."""
        del batch


@dataclass(frozen=True)
class LiveState:
    """What happened since a bundle was made.

    Attributes:
        tail: Follows the log in a thread.
        catalog: What the shop changed of its items.
        overlay: The users' events since; None for a step that needs none.
        words: The words of the items; None for a step that needs none.
        search: What finds items; None for a step that finds none.
        popularity: What all of them say of the items; None for a step that needs none.
        writer: Writes what a step has to say itself.
        feature_share: Share of the searches of which that is what the ranker read.
    """

    tail: LogTail
    catalog: LiveCatalog
    overlay: LiveOverlay | None = None
    words: LiveWords | None = None
    search: RetrieverFollower | None = None
    popularity: LivePopularity | None = None
    writer: BackgroundWriter | None = None
    feature_share: float = 0.0

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        settings: StateSettings,
        *,
        kinds: frozenset[EventKind] = EVERY_KIND,
        has_words: bool = False,
        search_on: str | None = None,
        counts_items: bool = False,
        beside: MakeConsumer | None = None,
    ) -> LiveState:
        """Reads the log up to its end, and follows it from then on.

        Args:
            bundle: The bundle.
            settings: Where the log is.
            kinds: The kinds of users' events to keep; none keeps no users.
            has_words: Whether to know the items' words.
            search_on: The device to find items on, which needs their words and events, too; None finds none.
            counts_items: Whether to count all users' events by item.
            beside: Makes another consumer, which is called after the catalogue.

        Raises:
            StateError: Where the state cannot be used as it is configured.
            BundleError: Where the bundle names users under another key than the state.
        """
        catalog = LiveCatalog(bundle.bundled_catalog)
        overlay = LiveOverlay(catalog, kinds=kinds) if kinds else None
        words = open_words(bundle, catalog) if has_words or search_on else None
        popularity = count_items(bundle, catalog) if counts_items or search_on else None
        search = first_users = None
        if words and popularity and search_on:
            retriever = open_retriever(bundle, search_on)
            if retriever.factors:
                first_users = LiveFirstUsers(bundle, catalog, retriever.factors)
            search = RetrieverFollower(catalog, words, popularity, first_users, retriever)
        made = (overlay, words, popularity, first_users, search, beside(catalog) if beside else None)
        consumers: tuple[Consumer, ...] = (
            KeyCheck(bundle),
            catalog,
            *(consumer for consumer in made if consumer is not None),
        )
        seconds = OFTEN_SECONDS if has_words or search_on or counts_items else SELDOM_SECONDS
        tail, writer = LogTail(settings, bundle.snapshot_position, consumers, seconds), BackgroundWriter(settings)
        live = cls(tail, catalog, overlay, words, search, popularity, writer, settings.feature_share)
        try:
            tail.start()
        except BaseException:
            live.close()
            raise
        return live

    def close(self) -> None:
        """Stops following the log, and removes what was written beside the bundle."""
        with ExitStack() as closing:  # one that fails keeps no other
            if self.words:
                closing.callback(self.words.close)
            if self.writer:
                closing.callback(self.writer.stop)
            closing.callback(self.tail.stop)

    def wait_for(self, position: int, seconds: float = MAX_WAIT_SECONDS) -> bool:
        """Waits until the log is known up to a position; returns whether it is."""
        return self.tail.wait_for(position, seconds)


def open_words(bundle: Bundle, catalog: LiveCatalog) -> LiveWords:
    """Opens the words of a catalogue that changes."""
    spec, index = bundle.spec, bundle.root / "index"
    synonyms = Synonyms.open(index / SYNONYMS)
    return LiveWords(catalog, index / LEXICAL, spec.lexical_fields, spec.code_fields, synonyms)


def count_items(bundle: Bundle, catalog: LiveCatalog) -> LivePopularity:
    """Opens what counts all users' events by item."""
    log_end, follows_clock = float(bundle.manifest["log_end"]), bundle.spec.clock == "wall"
    most = int(bundle.manifest["inputs"]["reading"]["most_a_day"])
    return LivePopularity(catalog, bundle.popularity, bundle.event_table, log_end, follows_clock, most)


def open_live(
    bundle: Bundle,
    host: Host,
    *,
    kinds: frozenset[EventKind] = EVERY_KIND,
    has_words: bool = False,
    search_on: str | None = None,
    counts_items: bool = False,
    beside: MakeConsumer | None = None,
) -> LiveState | None:
    """Returns what happened since a bundle was made, see `LiveState.open`; None where no state is kept."""
    settings = host.state()
    if not settings:
        return None
    live = LiveState.open(
        bundle,
        settings,
        kinds=kinds,
        has_words=has_words,
        search_on=search_on,
        counts_items=counts_items,
        beside=beside,
    )
    host.at_close(live.close)
    return live


def open_key(bundle: Bundle, host: Host) -> IdentityKey | None:
    """Returns the key under which a bundle names users; None where the state keeps it, or nobody is named.

    Raises:
        BundleError: Where it is another one, or there is none.
        StateError: Where its file cannot be used.
    """
    key = host.user_key(bundle)
    if key is not None or host.state() is None:
        bundle.check_user_key(key)
    return key
