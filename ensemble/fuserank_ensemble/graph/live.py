"""The log as a step of the graph follows it."""

from __future__ import annotations

from dataclasses import dataclass

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.entries import EVENT_KINDS, EventKind
from fuserank_ensemble.state.settings import StateSettings
from fuserank_ensemble.state.tail import LogTail

STALE = "stale"  # in `STATUS.degraded`: events that were asked for, or the latest, do not count yet


@dataclass(frozen=True)
class LiveState:
    """What happened since a bundle was made.

    Attributes:
        tail: Follows the log in a thread.
        overlay: The users' events since.
    """

    tail: LogTail
    overlay: LiveOverlay

    @classmethod
    def open(
        cls, bundle: Bundle, settings: StateSettings, kinds: frozenset[EventKind] = frozenset(EVENT_KINDS)
    ) -> LiveState:
        """Reads the log up to its end, and follows it from then on; it keeps the kinds of events that are named.

        Raises:
            StateError: Where the state cannot be used as it is configured.
        """
        overlay = LiveOverlay(bundle.items, kinds=kinds)
        return cls(LogTail(settings, bundle.snapshot_position, [overlay]).start(), overlay)


def open_live(bundle: Bundle, host: Host, kinds: frozenset[EventKind] = frozenset(EVENT_KINDS)) -> LiveState | None:
    """Returns what happened since a bundle was made, see `LiveState.open`; None where the host keeps no state."""
    settings = host.state()
    return LiveState.open(bundle, settings, kinds) if settings else None
