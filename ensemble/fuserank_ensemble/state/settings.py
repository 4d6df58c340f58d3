"""Where the state is: read from the environment, which every process of a server inherits."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.keys import KEY_FILE, KEY_SUFFIX, keep_key, new_secret, read_key, read_key_beside
from fuserank_ensemble.state.log import EventLog, StateError
from fuserank_ensemble.state.sqlite import SqliteLog

PLACE = "FUSERANK_STATE"
SPOOL = "FUSERANK_STATE_SPOOL"
TTL_DAYS = "FUSERANK_STATE_TTL_DAYS"
MAX_ENTRIES = "FUSERANK_STATE_MAX_ENTRIES"
FEATURE_SHARE = "FUSERANK_STATE_FEATURE_SHARE"
MOST_ENTRIES = 10_000_000  # of a log; further events are refused until a refresh lets it be trimmed
LEAST_TTL_DAYS = 1.0  # as long as an event that is sent again is known
SQLITE = "sqlite:"
REDIS = ("redis://", "rediss://")
_PLACES = "sqlite:/path/of/a/file, redis://host:port/database or none"


@dataclass(frozen=True)
class StateSettings:
    """Where the state is.

    Attributes:
        place: `sqlite:/path` or `redis://host:port/database?name=…`.
        key_file: A file with the key of users and sessions, 64 hexadecimal digits; None keeps one with the log.
        spool: A file for events while the log is away; None refuses them then.
        ttl_days: Days after which the log forgets an event, whether or not a bundle holds it; None keeps it until then.
        max_entries: How many entries the log may hold; beyond it events and changes are refused.
        feature_share: Share of the searches of which the log keeps what the ranker read, see `FeatureSample`.
    """

    place: str
    key_file: Path | None = None
    spool: Path | None = None
    ttl_days: float | None = None
    max_entries: int = MOST_ENTRIES
    feature_share: float = 0.0

    def __post_init__(self) -> None:
        if self.ttl_days is not None and not self.ttl_days >= LEAST_TTL_DAYS:
            raise StateError(f"{TTL_DAYS}: found {self.ttl_days}; allowed: {LEAST_TTL_DAYS:g} or more")
        if self.max_entries < 1:
            raise StateError(f"{MAX_ENTRIES}: found {self.max_entries}; allowed: 1 or more")
        if not 0.0 <= self.feature_share <= 1.0:
            raise StateError(f"{FEATURE_SHARE}: found {self.feature_share}; allowed: a share from 0 to 1")
        _check_place(self.place)

    @property
    def address(self) -> str:
        """The place as it may be shown: without a password."""
        return _without_password(self.place)

    @property
    def keeps_key_beside(self) -> bool:
        """Whether the key lies in a file beside the log, where no other is named."""
        return self.place.startswith(SQLITE)

    def key_in_file(self) -> IdentityKey | None:
        """Returns the key of users where it lies in a file; None where it does not, or not yet.

        Raises:
            StateError: Where the file cannot be used.
        """
        path = self.key_file
        if path is None and self.keeps_key_beside:
            kept = Path(self.place.removeprefix(SQLITE) + KEY_SUFFIX)
            path = kept if kept.exists() else None
        return read_key(path) if path else None

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
            feature_share = float(given.get(FEATURE_SHARE) or 0.0)
        except ValueError as error:
            raise StateError(f"{TTL_DAYS}, {MAX_ENTRIES}, {FEATURE_SHARE}: {error}; allowed: numbers") from None
        return cls(given[PLACE], key_file, spool, ttl_days, max_entries, feature_share)

    def to_environment(self) -> dict[str, str]:
        """Returns the variables that `from_environment` reads."""
        others = {KEY_FILE: self.key_file, SPOOL: self.spool, TTL_DAYS: self.ttl_days, MAX_ENTRIES: self.max_entries}
        others[FEATURE_SHARE] = self.feature_share or None
        return {PLACE: self.place} | {name: str(value) for name, value in others.items() if value is not None}


@dataclass(frozen=True)
class State:
    """The log, and the key of the users in it."""

    log: EventLog
    key: IdentityKey

    @classmethod
    def open(cls, settings: StateSettings, offered: IdentityKey | None = None) -> State:
        """Opens the log, or makes it.

        Args:
            settings: Where it is.
            offered: What a new log takes for its key where the settings name no file; None makes a new key.

        Raises:
            StateError: Where it cannot be used, or its users have another key.
            StateUnavailableError: Where it does not answer.
        """
        log = open_log(settings.place)
        try:
            key = read_key(settings.key_file) if settings.key_file else _kept_key(settings.place, log, offered)
            known = log.setting("key", key.fingerprint)
            if known != key.fingerprint:
                kept = settings.key_file or f"{settings.address}{KEY_SUFFIX}"
                raise StateError(
                    f"{KEY_FILE} {kept}: found the key {key.fingerprint}; allowed: {known}, with which this state "
                    "began: name its file with --state-key-file, or another state with --state"
                )
        except BaseException:
            log.close()
            raise
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


def _kept_key(place: str, log: EventLog, offered: IdentityKey | None) -> IdentityKey:
    """The key that is kept with the log: in a file beside SQLite's, in Redis itself."""
    secret = offered.secret.hex() if offered else new_secret()
    if place.startswith(SQLITE):
        return keep_key(Path(place.removeprefix(SQLITE) + KEY_SUFFIX), secret)
    return IdentityKey(bytes.fromhex(log.setting("secret", secret)))


def choose_key(settings: StateSettings | None, bundle: Path, key_file: Path | None = None) -> IdentityKey | None:
    """Returns the key of users where it lies in a file; None where the state keeps it, or there is none.

    Args:
        settings: Where the state is, which decides; None where none is kept.
        bundle: The bundle's folder, beside which the key lies where nothing else is named.
        key_file: The file that is named where no state is kept.

    Raises:
        StateError: Where the file cannot be used.
    """
    if settings is not None:
        return settings.key_in_file()
    return read_key(key_file) if key_file else read_key_beside(bundle)


def key_file_from_environment() -> Path | None:
    """Returns the key file that this process was given; None where it was given none."""
    path = os.environ.get(KEY_FILE)
    return Path(path) if path else None


def _check_place(place: str) -> None:
    """Checks an address as far as it can be without asking.

    Raises:
        StateError: Naming what is wrong with it and what is allowed.
    """
    shown = _without_password(place)
    scheme, separator, rest = place.partition(":")
    if not place.startswith((SQLITE, *REDIS)):
        forms = (SQLITE, *REDIS, "none")
        close = difflib.get_close_matches(f"{scheme}:" if separator else place, forms, n=1)
        raise StateError(f"--state ({PLACE}): found {shown!r}; allowed: {_PLACES}" + _meant(close))
    if place.startswith(SQLITE):
        if not rest or Path(rest).is_dir():
            found = f"{shown!r}, a folder" if rest else f"{shown!r}, without a file"
            raise StateError(f"--state ({PLACE}): found {found}; allowed: {SQLITE}/path/of/a/file, such as log.sqlite")
        return
    try:
        parts = urlsplit(place)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise StateError(f"--state ({PLACE}): found {shown!r}, {error}; allowed: {_PLACES}") from None
    if not host or (not parts.path.removeprefix("/").isdecimal() and parts.path not in ("", "/")):
        wrong = "whose database is no number" if host else "without a host"
        raise StateError(f"--state ({PLACE}): found {shown!r}, {wrong}; allowed: {_PLACES}")


def _meant(close: list[str]) -> str:
    return f" (did you mean {close[0]!r}?)" if close else ""


def _without_password(place: str) -> str:
    """A place as it may be shown."""
    scheme, separator, rest = place.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else place
