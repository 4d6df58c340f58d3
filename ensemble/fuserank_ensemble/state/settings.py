"""Where the state is: read from the environment, which every process of a server inherits."""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fuserank_ensemble.state.identity import KEY_BYTES, IdentityKey
from fuserank_ensemble.state.log import EventLog, StateError
from fuserank_ensemble.state.sqlite import SqliteLog

PLACE = "FUSERANK_STATE"
KEY_FILE = "FUSERANK_STATE_KEY_FILE"
SPOOL = "FUSERANK_STATE_SPOOL"
TTL_DAYS = "FUSERANK_STATE_TTL_DAYS"
MAX_ENTRIES = "FUSERANK_STATE_MAX_ENTRIES"
MOST_ENTRIES = 10_000_000  # of a log; further events are refused until a refresh lets it be trimmed
LEAST_TTL_DAYS = 1.0  # as long as an event that is sent again is known
SQLITE = "sqlite:"
REDIS = ("redis://", "rediss://")


@dataclass(frozen=True)
class StateSettings:
    """Where the state is.

    Attributes:
        place: `sqlite:/path` or `redis://host:port/database?name=…`.
        key_file: A file with the key of users and sessions, 64 hexadecimal digits; None keeps one with the log.
        spool: A file for events while the log is away; None refuses them then.
        ttl_days: Days after which the log forgets an event, whether or not a bundle holds it; None keeps it until then.
        max_entries: How many entries the log may hold; beyond it events and changes are refused.
    """

    place: str
    key_file: Path | None = None
    spool: Path | None = None
    ttl_days: float | None = None
    max_entries: int = MOST_ENTRIES

    def __post_init__(self) -> None:
        if self.ttl_days is not None and not self.ttl_days >= LEAST_TTL_DAYS:
            raise StateError(f"{TTL_DAYS}: found {self.ttl_days}; allowed: {LEAST_TTL_DAYS:g} or more")
        if self.max_entries < 1:
            raise StateError(f"{MAX_ENTRIES}: found {self.max_entries}; allowed: 1 or more")
        if not self.place.startswith((SQLITE, *REDIS)):
            raise StateError(f"state: found {self.place!r}; allowed: sqlite:/path/of/a/file or redis://host:port/0")

    @property
    def address(self) -> str:
        """The place as it may be shown: without a password."""
        scheme, separator, rest = self.place.partition("://")
        return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else self.place

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> StateSettings | None:
        """Returns the settings of this process, or None where no state is kept.

        Raises:
            StateError: Where they cannot be used.
        """
        given = os.environ if environment is None else environment
        if not given.get(PLACE):
            return None
        key_file, spool = (Path(given[name]) if given.get(name) else None for name in (KEY_FILE, SPOOL))
        try:
            ttl_days = float(given[TTL_DAYS]) if given.get(TTL_DAYS) else None
            max_entries = int(given[MAX_ENTRIES]) if given.get(MAX_ENTRIES) else MOST_ENTRIES
        except ValueError as error:
            raise StateError(f"{TTL_DAYS}, {MAX_ENTRIES}: {error}; allowed: numbers") from None
        return cls(given[PLACE], key_file, spool, ttl_days, max_entries)

    def to_environment(self) -> dict[str, str]:
        """Returns the variables that `from_environment` reads."""
        others = {KEY_FILE: self.key_file, SPOOL: self.spool, TTL_DAYS: self.ttl_days, MAX_ENTRIES: self.max_entries}
        return {PLACE: self.place} | {name: str(value) for name, value in others.items() if value is not None}


@dataclass(frozen=True)
class State:
    """The log, and the key of the users in it."""

    log: EventLog
    key: IdentityKey

    @classmethod
    def open(cls, settings: StateSettings) -> State:
        """Opens the log, or makes it.

        Raises:
            StateError: Where it cannot be used, or its users have another key.
            StateUnavailableError: Where it does not answer.
        """
        log = open_log(settings.place)
        key = _read_key(settings.key_file) if settings.key_file else _kept_key(settings.place, log)
        known = log.setting("key", key.fingerprint)
        if known != key.fingerprint:
            log.close()
            raise StateError(
                f"{KEY_FILE} {settings.key_file}: is not the key of this state's users; give the one that it began with"
            )
        return cls(log, key)


def open_log(place: str) -> EventLog:
    """Opens a log by its address.

    Raises:
        StateError: Where it cannot be used.
    """
    if place.startswith(SQLITE):
        return SqliteLog(Path(place.removeprefix(SQLITE)))
    try:
        from fuserank_ensemble.state.redis import RedisLog  # noqa: PLC0415  an extra
    except ModuleNotFoundError as missing:
        raise StateError(f"state {place.partition('://')[0]}: {missing}; pip install 'fuserank[redis]'") from None
    return RedisLog(place)


def _read_key(path: Path) -> IdentityKey:
    try:
        secret = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise StateError(f"{KEY_FILE} {path}: {error}") from None
    if len(secret) != KEY_BYTES:
        raise StateError(f"{KEY_FILE} {path}: found {len(secret)} bytes; allowed: {KEY_BYTES}, as hexadecimal digits")
    return IdentityKey(secret)


def _kept_key(place: str, log: EventLog) -> IdentityKey:
    """The key that is kept with the log: in a file beside SQLite's, in Redis itself."""
    new = secrets.token_hex(KEY_BYTES)
    if not place.startswith(SQLITE):
        return IdentityKey(bytes.fromhex(log.setting("secret", new)))
    path = Path(place.removeprefix(SQLITE) + ".key")
    if not path.exists():
        try:
            _create_whole(path, new + "\n")
        except OSError as error:
            raise StateError(f"state {place}: the key cannot be kept beside it: {error}") from None
    return _read_key(path)


def _create_whole(path: Path, text: str) -> None:
    """Makes a file that only its owner may read; where another process or thread was faster, its file stays."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, text.encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
