"""The log as a step of the graph follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.graph.background_writer import BackgroundWriter
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.interactions.live.popularity import LivePopularity, PopularitySnapshot
from fuserank_ensemble.state.entries import EVENT_KINDS, EventKind
from fuserank_ensemble.state.settings import StateSettings
from fuserank_ensemble.state.tail import Consumer, LogTail

MAX_WAIT_SECONDS = 0.25  # for a position: what is acknowledged is known far sooner, unless the log is away
MakeConsumer = Callable[[LiveCatalog], Consumer]
STALE = "stale"  # in `STATUS.degraded`: what was asked for, or the latest, does not count yet
EVERY_KIND: frozenset[EventKind] = frozenset(EVENT_KINDS)
NO_KIND: frozenset[EventKind] = frozenset()


@dataclass(frozen=True)
class LiveState:
    """What happened since a bundle was made.

    Attributes:
        tail: Follows the log in a thread.
        catalog: What the shop changed of its items.
        overlay: The users' events since; None for a step that needs none.
        popularity: What all of them say of the items; None for a step that needs none.
        writer: Writes what a step has to say itself.
    """

    tail: LogTail
    catalog: LiveCatalog
    overlay: LiveOverlay | None = None
    popularity: LivePopularity | None = None
    writer: BackgroundWriter | None = None

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        settings: StateSettings,
        *,
        kinds: frozenset[EventKind] = EVERY_KIND,
        counts_items: bool = False,
        beside: MakeConsumer | None = None,
    ) -> LiveState:
        """Reads the log up to its end, and follows it from then on.

        Args:
            bundle: The bundle.
            settings: Where the log is.
            kinds: The kinds of users' events to keep; none keeps no users.
            counts_items: Whether to count all users' events by item.
            beside: Makes another consumer, which is called after the catalogue.

        Raises:
            StateError: Where the state cannot be used as it is configured.
        """
        catalog = LiveCatalog(bundle.items, bundle.records)
        overlay = LiveOverlay(bundle.items, kinds=kinds) if kinds else None
        popularity = None
        if counts_items:
            log_end, follows_clock = float(bundle.manifest["log_end"]), bundle.spec.clock == "wall"
            popularity = LivePopularity(bundle.items, bundle.popularity, bundle.event_table, log_end, follows_clock)
        consumers: Sequence[Consumer] = (
            catalog,
            *([overlay] if overlay else ()),
            *([popularity] if popularity else ()),
            *([beside(catalog)] if beside else ()),
        )
        return cls(
            LogTail(settings, bundle.snapshot_position, consumers).start(),
            catalog,
            overlay,
            popularity,
            BackgroundWriter(settings),
        )

    def stop(self) -> None:
        """Ends what follows the log and what writes it."""
        self.tail.stop()
        if self.writer:
            self.writer.stop()

    def wait_for(self, position: int, seconds: float = MAX_WAIT_SECONDS) -> bool:
        """Waits until the log is known up to a position; returns whether it is."""
        return self.tail.wait_for(position, seconds)


def open_live(
    bundle: Bundle,
    host: Host,
    *,
    kinds: frozenset[EventKind] = EVERY_KIND,
    counts_items: bool = False,
    beside: MakeConsumer | None = None,
) -> LiveState | None:
    """Returns what happened since a bundle was made, see `LiveState.open`; None where no state is kept."""
    settings = host.state()
    if not settings:
        return None
    live = LiveState.open(bundle, settings, kinds=kinds, counts_items=counts_items, beside=beside)
    host.at_close(live.stop)
    return live


class CatalogReader:
    """The catalogue as a step reads it: with the shop's changes where a state is kept."""

    def __init__(self, bundle: Bundle, live: LiveState | None) -> None:
        self._live = live
        self._catalog = live.catalog if live else LiveCatalog(bundle.items, bundle.records)

    @property
    def current(self) -> CatalogSnapshot:
        """The catalogue as it is now."""
        return self._catalog.current

    def knows(self, position: int) -> bool:
        """Waits until the log is known up to a position; returns whether it is. True where no state is kept."""
        return self._live is None or self._live.wait_for(position)

    def at_least(self, position: int) -> CatalogSnapshot:
        """Returns the newest catalogue, once it holds the changes up to a position.

        Where it does not come to know them in time, the snapshot's `position` is smaller.
        """
        if self._live and self._catalog.current.position < position:
            self._live.wait_for(position)
        return self._catalog.current

    def at(self, position: int) -> CatalogSnapshot:
        """Returns the catalogue exactly as of a position; where it is not known in time, as of an earlier one."""
        if self._live and self._catalog.current.position < position:
            self._live.wait_for(position)
        return self._catalog.at(position)


class PopularityReader:
    """All users' events by item as a step reads them: with those since the bundle where a state is kept."""

    def __init__(self, bundle: Bundle, live: LiveState | None) -> None:
        self._live = live.popularity if live else None
        self._bundled = PopularitySnapshot.of_bundle(bundle.popularity)

    @property
    def current(self) -> PopularitySnapshot:
        """The events as they are now."""
        return self._live.current if self._live else self._bundled
