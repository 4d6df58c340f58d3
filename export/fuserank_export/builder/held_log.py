"""What the shop's files hold of a log of live events, and under which key the bundle names users."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fuserank_ensemble.state.entries import Forget
from fuserank_ensemble.state.identity import IdentityKey, Subject
from fuserank_ensemble.state.keys import KEY_SUFFIX, keep_key, key_file_beside, new_secret, read_key
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import SQLITE, State, StateSettings, open_log
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_export.sources.report import InputError


def check_log(settings: StateSettings) -> None:
    """Refuses a log that is not there, or whose key is not: to open it would make an empty one, or another key.

    Args:
        settings: What `--state` and `--state-key-file` name.

    Raises:
        InputError: Where it is a file that is not there, a Redis in which nobody began one, or none of the files is its
            key.
        StateError: Where it cannot be used, or does not answer.
    """
    if not settings.keeps_key_beside:
        if _is_new(settings):
            raise InputError(
                f"--state {settings.address}: there is no such log; name the one that `fuserank serve` writes"
            )
        return
    file = settings.place.removeprefix(SQLITE)
    if not Path(file).exists():
        raise InputError(f"--state {settings.place}: there is no such log; name the file that `fuserank serve` writes")
    if settings.key_file is None and not Path(file + KEY_SUFFIX).exists():
        raise InputError(
            f"--state {settings.place}: found no key at {file}{KEY_SUFFIX}; name the log's key with --state-key-file"
        )


def _is_new(settings: StateSettings) -> bool:
    """Whether nobody has chosen the key of a log that is no file yet."""
    with closing(open_log(settings.place)) as log:
        return not log.setting("key") and not log.setting("secret")


@dataclass(frozen=True)
class HeldLog:
    """What the files hold of a log.

    Attributes:
        key: The key of the log's users, under which the bundle names them.
        position: Up to where the files hold it; nothing by default.
        forgotten: Users who asked to be forgotten, and are to be left out of the files.
        new_key_file: Where the key is to be kept once there is a bundle under it; None where it is kept already.
        new_log: The log that is to begin with the key then; None where it has begun.
    """

    key: IdentityKey
    position: SnapshotPosition = field(default_factory=SnapshotPosition)
    forgotten: frozenset[Subject] = frozenset()
    new_key_file: Path | None = None
    new_log: StateSettings | None = None

    def is_forgotten(self, user_id: str) -> bool:
        """Whether a user asked to be forgotten."""
        return self.key.user(user_id) in self.forgotten

    @classmethod
    def read(cls, place: str, key_file: Path | None) -> HeldLog:
        """Takes all that a log holds now, before the files are read.

        A Redis in which there is no log yet gets one, and its key, when there is a bundle: see `keep_key`.

        Raises:
            InputError: Where there is no such log, or it cannot be used.
        """
        try:
            settings = StateSettings(place, key_file)
            if not settings.keeps_key_beside and _is_new(settings):
                key = read_key(key_file) if key_file else IdentityKey(bytes.fromhex(new_secret()))
                return cls(key, new_log=settings)
            check_log(settings)
            state = State.open(settings)
            with closing(state.log):
                wishes = state.log.wishes()
                position = SnapshotPosition(state.log.id, state.log.last_position())
        except StateError as error:
            raise InputError(str(error)) from None
        forgotten = frozenset(logged.entry.user for logged in wishes if isinstance(logged.entry, Forget))
        return cls(state.key, position, forgotten)

    @classmethod
    def nothing(cls, bundle: Path, key_file: Path | None = None) -> HeldLog:
        """Takes no log: the key is the one of a server that keeps its log beside the bundle, else a new one.

        Nothing is written: `keep_key` does that.

        Args:
            bundle: The bundle's folder, which need not be there yet.
            key_file: The key; None takes the one beside the bundle.

        Raises:
            InputError: Where the key cannot be read, or a new one could not be kept.
        """
        beside = key_file_beside(bundle)
        try:
            if key_file or beside.exists():
                return cls(read_key(key_file or beside))
        except StateError as error:
            raise InputError(str(error)) from None
        folder = beside.parent
        if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise InputError(f"the key of users cannot be kept at {beside}: {folder} is no folder that can be written")
        return cls(IdentityKey(bytes.fromhex(new_secret())), new_key_file=beside)

    def keep_key(self) -> None:
        """Keeps a new key where the bundle's server reads it.

        Raises:
            InputError: Where it cannot be kept, or another was kept there meanwhile.
        """
        try:
            if self.new_log is not None:
                state = State.open(self.new_log, self.key)
                state.log.close()
                place, kept = self.new_log.address, state.key
            elif self.new_key_file is not None:
                place, kept = str(self.new_key_file), keep_key(self.new_key_file, self.key.secret.hex())
            else:
                return
        except StateError as error:
            raise InputError(str(error)) from None
        if kept != self.key:
            raise InputError(f"{place}: holds another key, which was not there when the export began; export again")
