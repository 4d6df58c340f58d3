"""Looks at the state that a server would keep, and at the key of the users in it; nothing is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.serving.diagnosis.checks import Check
from fuserank_ensemble.serving.state import NONE, choose_key_file
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.keys import KEY_SUFFIX, LOG_FILE, key_file_beside
from fuserank_ensemble.state.log import StateError, StateUnavailableError
from fuserank_ensemble.state.settings import SQLITE, State, StateSettings, choose_key, open_log


def check_state(folder: Path | None, place: str | None, key_file: Path | None) -> Iterator[Check]:
    """Looks at the state and at the key, and compares that with the one under which a bundle names users.

    Args:
        folder: The bundle's folder; None looks at no bundle.
        place: What `--state` names; None is `<bundle>.state/log.sqlite`, where it is there.
        key_file: What `--state-key-file` names.
    """
    key: IdentityKey | None = None
    try:
        settings = _settings(folder, place, key_file)
        if settings is not None:
            check, key = _open(settings)
            yield check
            if check.state == "wrong":
                return
        if key is None and folder is not None:  # which a new state takes over
            key = choose_key(None, folder, choose_key_file(folder, key_file))
    except StateError as error:
        yield Check("state", "wrong", str(error))
        return
    if folder is None:
        return
    try:
        bundle = Bundle.open(folder, verify=())
    except BundleError:
        return  # a check of its own says so
    try:
        bundle.check_user_key(key)
    except BundleError as error:
        yield Check("key of users", "wrong", str(error))
    else:
        found = (
            f"the bundle names users under {key.fingerprint}" if bundle.user_key and key else "the bundle needs none"
        )
        yield Check("key of users", "ok", found)


def _settings(folder: Path | None, place: str | None, key_file: Path | None) -> StateSettings | None:
    """What `fuserank serve` would keep the state in, where it is there; None without one."""
    if place is not None:
        return None if place == NONE else StateSettings(place, key_file)
    log = key_file_beside(folder).with_name(LOG_FILE) if folder else None
    return StateSettings(f"{SQLITE}{log}", key_file) if log and log.exists() else None


def _open(settings: StateSettings) -> tuple[Check, IdentityKey | None]:
    """Opens a state that is there; the key is None of one that is new or cannot be used."""
    if settings.place.startswith(SQLITE):
        path = Path(settings.place.removeprefix(SQLITE))
        if not path.exists():
            return _absent(path), settings.key_in_file()
        if settings.key_in_file() is None:
            found = f"{path}: the key of its users is not there ({path.name}{KEY_SUFFIX})"
            remedy = "put it back beside the log, or name it with --state-key-file: without it nobody is found"
            return Check("state", "wrong", found, remedy), None
    try:
        with closing(open_log(settings.place)) as log:
            if log.last_position() == 0:  # opening it would give a new one its key
                return Check("state", "ok", f"{settings.address}: empty"), settings.key_in_file()
            size = log.size()
        state = State.open(settings)
        state.log.close()
    except StateUnavailableError as error:
        remedy = "start what keeps it, or name another place with --state; until then events wait or are refused"
        return Check("state", "wrong", str(error), remedy), None
    found = f"{settings.address}: {size:,} entries, at most {settings.max_entries:,}"
    return Check("state", "ok", found), state.key


def _absent(path: Path) -> Check:
    folder = next(parent for parent in path.resolve().parents if parent.exists())
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Check("state", "ok", f"{path}: not there yet; a server makes it")
    remedy = "name a file in one with --state, or make it writable"
    return Check("state", "wrong", f"{path}: cannot be made, {folder} is no folder that can be written", remedy)
