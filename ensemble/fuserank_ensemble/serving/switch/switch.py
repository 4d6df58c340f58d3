"""Has a running server open a bundle beside the served one, and answer from it when every process has it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.engines import check_engines
from fuserank_ensemble.serving.models import check_path
from fuserank_ensemble.serving.signature import check_signature
from fuserank_ensemble.serving.switch.checks import check_fits, check_nobody_forgotten
from fuserank_ensemble.serving.switch.folder import BundlePlace, Member, ServerNote, SwitchError, SwitchFolder, Wanted
from fuserank_ensemble.serving.switch.promoted import Promoted, load_promoted, remember_promoted
from fuserank_ensemble.spec import target_named
from fuserank_ensemble.state.settings import State, StateSettings

PATIENCE_SECONDS = 300.0  # until all processes have opened a bundle
SWAP_SECONDS = 30.0  # until all of them have swapped
LOOK_SECONDS = 0.02


def promote_bundle(folder: SwitchFolder, root: Path, patience: float = PATIENCE_SECONDS) -> tuple[str, str]:
    """Has a server answer from another bundle, all of it or nothing.

    Args:
        folder: The server's.
        root: The bundle's folder, as the server sees it.
        patience: Seconds until all processes have opened it.

    Returns:
        The ids of the bundle that answered before, and of the one that answers now.

    Raises:
        SwitchError: Where the server cannot serve it, or holds somebody in it who was forgotten; nothing has changed.
        BundleError: Where its parts do not belong together, nobody whom the server trusts has signed it, or it names
            users under another key.
        StateError: Where the state cannot be asked who was forgotten.
    """
    server = folder.noted()
    _check_no_arms(server)
    with folder.locked():
        check_path(root)
        served, new = folder.wanted().served, Bundle.open(root.resolve())
        if new.id == served.id:
            raise SwitchError(f"bundle {new.id} is served already")
        check_signature(new, _trusted_key(server))
        old = Bundle.open(Path(served.folder), verify=())
        target = target_named(server.target)
        check_engines(new, target)
        check_fits(new, old, target)
        state = _open_state(server)
        try:
            if state:
                new.check_user_key(state.key)
                check_nobody_forgotten(new, state)
            place = BundlePlace(new.id, str(new.root))
            switch_to(folder, place, patience, previous=served)
            _remember(server, Promoted(place, served))
            if state:
                trim_held(state, (old, new))
        finally:
            if state:
                state.log.close()
    return served.id, new.id


def rollback_bundle(folder: SwitchFolder, patience: float = PATIENCE_SECONDS) -> tuple[str, str]:
    """Has a server answer from the bundle that answered before the last promotion.

    Returns:
        As `promote_bundle`.

    Raises:
        SwitchError: Where there is none, or it cannot be opened any more; nothing has changed.
        BundleError: Where its parts do not belong together.
    """
    server = folder.noted()
    _check_no_arms(server)
    with folder.locked():
        wanted = folder.wanted()
        remembered = load_promoted(Path(server.remembered)) if server.remembered else None
        previous = wanted.previous or (remembered.previous if remembered else None)
        if previous is None:
            raise SwitchError("nothing was promoted since the last rollback; `fuserank promote` a bundle by its folder")
        if all(place.id != previous.id for place in wanted.held):  # the server was started since
            older = Bundle.open(Path(previous.folder))
            check_signature(older, _trusted_key(server))
            check_fits(older, Bundle.open(Path(wanted.served.folder), verify=()), target_named(server.target))
        switch_to(folder, previous, patience, previous=None)
        _remember(server, Promoted(previous))
    return wanted.active, previous.id


def trim_held(state: State, bundles: tuple[Bundle, ...]) -> int:
    """Removes what all of some bundles hold from the log; returns how many entries."""
    positions = [b.snapshot_position for b in bundles]
    if any(held.id != state.log.id for held in positions):
        return 0  # one of them was made without this log, and holds nothing of it
    return state.log.trim(min(held.position for held in positions))


def switch_to(folder: SwitchFolder, new: BundlePlace, patience: float, previous: BundlePlace | None) -> None:
    """Switches in two steps: a process may name the new bundle to another only when that one has it, too.

    Args:
        folder: The server's.
        new: The bundle that is to answer.
        patience: Seconds until all processes have opened it.
        previous: What a rollback is to go back to.

    Raises:
        SwitchError: Where a process does not get there; what is wanted is as before.
    """
    before = folder.wanted()
    served = before.served
    held = (served, new)
    try:
        folder.want(Wanted(held, served.id, before.previous))
        _wait(folder, lambda member: new.id in member.held, new, patience)
        folder.want(Wanted(held, new.id, previous))
        _wait(folder, lambda member: member.active == new.id, new, SWAP_SECONDS)
    except BaseException:
        folder.want(before)
        raise


def _wait(folder: SwitchFolder, is_done: Callable[[Member], bool], new: BundlePlace, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        members = folder.members()
        for member in members:
            if new.id in member.failed:
                raise SwitchError(f"{new.folder}: {member.name} cannot open it: {member.failed[new.id]}")
            if not _is_alive(member.pid):
                raise SwitchError(f"the process of {member.name} has died; start the server again")
        waiting = sorted({member.name for member in members if not is_done(member)})
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise SwitchError(f"{new.folder}: {', '.join(waiting)} did not open it within {seconds:.0f} s")
        time.sleep(LOOK_SECONDS)


def _check_no_arms(server: ServerNote) -> None:
    """Checks that no experiment compares the served bundle with others: its control stays what it is."""
    if server.arms:
        raise SwitchError(
            f"an experiment compares the served bundle with {', '.join(server.arms)}, until the server is started "
            "without --experiment (FUSERANK_EXPERIMENT)"
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _trusted_key(server: ServerNote) -> Path | None:
    return Path(server.trusted_key) if server.trusted_key else None


def _open_state(server: ServerNote) -> State | None:
    settings = StateSettings.from_environment(server.state)
    return State.open(settings) if settings else None


def _remember(server: ServerNote, promoted: Promoted) -> None:
    if server.remembered:
        remember_promoted(Path(server.remembered), promoted)
