"""The log as a step of the graph follows it."""

from __future__ import annotations

from dataclasses import dataclass

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.step import Host
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.settings import StateSettings
from fuserank_ensemble.state.tail import LogTail


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
    def open(cls, bundle: Bundle, settings: StateSettings) -> LiveState:
        """Reads the log up to its end, and follows it from then on.

        Raises:
            StateError: Where the state cannot be used as it is configured.
        """
        overlay = LiveOverlay(bundle.items)
        return cls(LogTail(settings, bundle.snapshot_position, [overlay]).start(), overlay)


def open_live(bundle: Bundle, host: Host) -> LiveState | None:
    """Returns what happened since a bundle was made; None where the host keeps no state."""
    settings = host.state()
    return LiveState.open(bundle, settings) if settings else None
