"""What the shop's files hold of a log of live events, and under which key the bundle names users."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fuserank_ensemble.state.entries import Forget
from fuserank_ensemble.state.identity import IdentityKey, Subject
from fuserank_ensemble.state.keys import keep_key, key_file_beside, read_key
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_export.sources.report import InputError


@dataclass(frozen=True)
class HeldLog:
    """What the files hold of a log.

    Attributes:
        key: The key of the log's users, under which the bundle names them.
        position: Up to where the files hold it; nothing by default.
        forgotten: Users who asked to be forgotten, and are to be left out of the files.
    """

    key: IdentityKey
    position: SnapshotPosition = field(default_factory=SnapshotPosition)
    forgotten: frozenset[Subject] = frozenset()

    def is_forgotten(self, user_id: str) -> bool:
        """Whether a user asked to be forgotten."""
        return self.key.user(user_id) in self.forgotten

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
        forgotten = frozenset(logged.entry.user for logged in wishes if isinstance(logged.entry, Forget))
        return cls(state.key, position, forgotten)

    @classmethod
    def nothing(cls, bundle: Path, key_file: Path | None = None) -> HeldLog:
        """Takes no log: the key is the one of a server that keeps its log beside the bundle, made where there is none.

        Args:
            bundle: The bundle's folder, which need not be there yet.
            key_file: The key; None takes the one beside the bundle.

        Raises:
            InputError: Where the key cannot be read or kept.
        """
        try:
            return cls(read_key(key_file) if key_file else keep_key(key_file_beside(bundle)))
        except StateError as error:
            raise InputError(str(error)) from None
