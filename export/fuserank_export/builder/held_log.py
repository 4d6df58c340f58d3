"""What the shop's files hold of a log of live events: a bundle that is made from them goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fuserank_ensemble.state.entries import Forget
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_export.sources.report import InputError


def _nobody(user_id: str) -> bool:
    del user_id
    return False


@dataclass(frozen=True)
class HeldLog:
    """What the files hold of a log.

    Attributes:
        position: Up to where; nothing by default.
        is_forgotten: Whether a user asked to be forgotten, and is to be left out of the files.
    """

    position: SnapshotPosition = field(default_factory=SnapshotPosition)
    is_forgotten: Callable[[str], bool] = _nobody

    @classmethod
    def read(cls, place: str, key_file: Path | None) -> HeldLog:
        """Takes all that a log holds now, before the files are read.

        Raises:
            InputError: Where the log cannot be used.
        """
        try:
            state = State.open(StateSettings(place, key_file))
            try:
                wishes = state.log.wishes()
                position = SnapshotPosition(state.log.id, state.log.last_position())
            finally:
                state.log.close()
        except StateError as error:
            raise InputError(str(error)) from None
        forgotten = {logged.entry.user for logged in wishes if isinstance(logged.entry, Forget)}
        return cls(position, lambda user_id: state.key.subject_named(user_id) in forgotten)
