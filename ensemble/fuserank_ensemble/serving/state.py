"""Where `fuserank serve` keeps the state, and how the server's processes learn of it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.keys import KEY_FILE, LOG_FILE, key_file_beside, read_key
from fuserank_ensemble.state.log import StateError, StateUnavailableError
from fuserank_ensemble.state.settings import (
    FEATURE_SHARE,
    MAX_ENTRIES,
    MOST_ENTRIES,
    PLACE,
    REDIS,
    SPOOL,
    SQLITE,
    TTL_DAYS,
    State,
    StateSettings,
)

NONE = "none"
StateOption = Annotated[
    str | None,
    typer.Option(
        envvar=PLACE,  # a command line shows a password to every user of the machine
        help="Where events are kept: sqlite:/path, redis://host:port/0, or none. "
        "Default: <bundle>.state/log.sqlite, where it can be written.",
    ),
]
StateKeyOption = Annotated[
    Path | None,
    typer.Option(
        help="A file with the key of users, 64 hexadecimal digits; by default it is kept with the state, which is "
        "beside the bundle."
    ),
]


StateTtlOption = Annotated[
    float | None,
    typer.Option(help="Days after which the log forgets an event. Default: it keeps events until a bundle holds them."),
]
StateSizeOption = Annotated[
    int, typer.Option(help="Entries that the log may hold: beyond it events are refused, searches go on.")
]


FeatureShareOption = Annotated[
    float,
    typer.Option(
        "--log-features",
        help="Share of the searches of which the log keeps what the ranker read, for `fuserank export features`.",
    ),
]


def check_state(settings: StateSettings, offered: Path | None) -> tuple[StateSettings, IdentityKey | None]:
    """Opens the state once, so that what is wrong with it is said before anything starts.

    Args:
        settings: Where it is.
        offered: A file with the key that a new state takes over; None has it make one.

    Returns:
        The settings for the server's processes, and the state's key; None of a state that does not answer and keeps
        the key itself.

    Raises:
        StateError: Where it cannot be used. One that does not answer at present is no error: the server starts, and
            searches are marked as degraded.
    """
    with suppress(StateUnavailableError):
        state = State.open(settings, read_key(offered) if offered else None)
        state.log.close()
        return settings, state.key
    settings = replace(settings, key_file=settings.key_file or offered)
    return settings, settings.key_in_file()


def state_variables(settings: StateSettings | None, key_file: Path | None = None) -> dict[str, str | None]:
    """Returns what tells a server's processes where the state is; None of what they must not know.

    Args:
        settings: Where the state is; None where none is kept.
        key_file: The key of users where no state is kept.
    """
    given = settings.to_environment() if settings else {KEY_FILE: str(key_file)} if key_file else {}
    return {name: given.get(name) for name in (PLACE, KEY_FILE, SPOOL, TTL_DAYS, MAX_ENTRIES, FEATURE_SHARE)}


def state_folder(bundle: Path) -> Path | None:
    """Returns the folder `<bundle>.state` beside a bundle, or None where it cannot be written."""
    folder = key_file_beside(bundle).parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def choose_state(
    bundle: Path,
    place: str | None,
    key_file: Path | None,
    ttl_days: float | None = None,
    max_entries: int = MOST_ENTRIES,
) -> StateSettings | None:
    """Returns where `fuserank serve` keeps events.

    Args:
        bundle: The bundle's folder.
        place: What `--state` names; None keeps them in `<bundle>.state/log.sqlite` where that can be written, "none"
            nowhere. While Redis is away, events wait in `<bundle>.state/spool.sqlite`.
        key_file: What `--state-key-file` names.
        ttl_days: What `--state-ttl-days` names.
        max_entries: What `--state-max-entries` names.

    Raises:
        StateError: Where the place cannot be used.
    """
    if place == NONE:
        return None
    if place is not None and not place.startswith(REDIS):
        return StateSettings(place, key_file, None, ttl_days, max_entries)
    folder = state_folder(bundle)
    if place is not None:
        return StateSettings(place, key_file, folder / "spool.sqlite" if folder else None, ttl_days, max_entries)
    if folder is None:
        return None
    return StateSettings(f"{SQLITE}{folder / LOG_FILE}", key_file, None, ttl_days, max_entries)


def sample_features(settings: StateSettings | None, share: float) -> StateSettings | None:
    """Returns the settings with the share of searches whose features are kept.

    Raises:
        StateError: Where there is no such share, or no state to keep them.
    """
    if settings is None:
        if share:
            raise StateError(f"--log-features: found {share:g} and no state to keep them; allowed: 0 without --state")
        return None
    return replace(settings, feature_share=share)


def choose_key_file(bundle: Path, key_file: Path | None) -> Path | None:
    """Returns the file with the key of a bundle's users: the one that is named, else what lies beside the bundle."""
    beside = key_file_beside(bundle)
    return key_file or (beside if beside.exists() else None)
