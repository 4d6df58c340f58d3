"""Switches the replicas of a cluster: a file on the volume that they share names the bundle, and each goes to it.

`promote` and `rollback` write the file, from any pod that may write the volume. `follow` runs beside each replica, and
promotes there what the file names; so nobody needs a way into the cluster's API or into a server.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from fuserank_ensemble.bundle import MANIFEST, Bundle, BundleError
from fuserank_ensemble.contract.experiment import experiment_from_environment
from fuserank_ensemble.serving.arms import arm_places
from fuserank_ensemble.serving.observability.logs import log_as_json
from fuserank_ensemble.serving.signature import add_trusted_key, check_signature
from fuserank_ensemble.serving.switch.folder import BundlePlace, ServerNote, SwitchError, SwitchFolder
from fuserank_ensemble.serving.switch.promoted import PROMOTED, Promoted, load_promoted, remember_promoted
from fuserank_ensemble.serving.switch.switch import PATIENCE_SECONDS, promote_bundle
from fuserank_ensemble.spec import SpecError, target_named
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import StateSettings

LOOK_SECONDS = 2.0  # how often a replica looks for what is promoted
RETRY_SECONDS = 60.0  # until a bundle that a replica could not go to is tried again
REFRESHED = "refreshed-"  # how the folders begin that a job writes, and that are removed when they are old


def pointer_of(bundle: Path) -> Path:
    """Returns the file that names the bundle which replicas serve that were started on `bundle`."""
    return bundle.with_name(f"{bundle.name}.state") / PROMOTED


def promote(pointer: Path, root: Path, started_on: Path, keep: int, trusted_key: Path | None = None) -> Promoted:
    """Names a bundle for all replicas, and removes old ones that a job wrote.

    Args:
        pointer: The file.
        root: The bundle's folder, as every replica sees it.
        started_on: The bundle that the replicas were started on.
        keep: How many of the job's older bundles are kept, beside the one before.
        trusted_key: The file of the public keys of which one must have signed the bundle; None takes any.

    Raises:
        BundleError: Where the bundle's parts do not belong together, nobody whose key is trusted has signed it, or the
            file cannot be read.
    """
    new = Bundle.open(root.resolve())
    check_signature(new, trusted_key)
    before = load_promoted(pointer)
    promoted = Promoted(BundlePlace(new.id, str(new.root)), before.served if before else _place(started_on))
    pointer.parent.mkdir(exist_ok=True)
    remember_promoted(pointer, promoted)
    previous = Path(promoted.previous.folder) if promoted.previous else None
    older = sorted(
        folder
        for folder in new.root.parent.glob(f"{REFRESHED}*")
        if (folder / MANIFEST).is_file() and folder.name < new.root.name and folder != previous
    )
    for folder in older[: -keep or None]:
        shutil.rmtree(folder)
    return promoted


def rollback(pointer: Path) -> Promoted:
    """Names the bundle before the last promotion for all replicas.

    Raises:
        SwitchError: Where there is none.
        BundleError: Where it is gone, or the file cannot be read.
    """
    before = load_promoted(pointer)
    if before is None or before.previous is None:
        raise SwitchError("nothing was promoted since the last rollback")
    Bundle.open(Path(before.previous.folder), verify=())
    promoted = Promoted(before.previous)
    remember_promoted(pointer, promoted)
    return promoted


class Follower:
    """Brings one replica to the bundle that the file names."""

    def __init__(self, pointer: Path, folder: SwitchFolder, patience: float = PATIENCE_SECONDS) -> None:
        """Takes the file, and the folder by which the replica is switched."""
        self._pointer, self._folder, self._patience = pointer, folder, patience
        self._again: tuple[str, float] = ("", 0.0)  # a bundle that could not be served, and when it is tried again

    def look(self) -> str | None:
        """Switches where another bundle is named than is served; returns what was done, None where nothing was.

        Raises:
            SwitchError: Where the replica cannot serve it; it goes on as it is, and tries again a minute later.
            BundleError: Where the file or the bundle cannot be read.
            StateError: Where the state cannot be asked who was forgotten.
        """
        promoted = load_promoted(self._pointer)
        if promoted is None or promoted.served.id == self._folder.wanted().active:
            return None
        bundle, due = self._again
        if bundle == promoted.served.id and time.monotonic() < due:
            return None
        self._again = (promoted.served.id, time.monotonic() + RETRY_SECONDS)
        self._forget_ended()
        before, after = promote_bundle(self._folder, Path(promoted.served.folder), self._patience)
        return f"{after} answers instead of {before}"

    def _forget_ended(self) -> None:
        """Removes what processes of a container said that has been started again since."""
        for path in (self._folder.path / "members").glob("*.json"):
            try:
                os.kill(int(path.stem.rpartition("-")[2]), 0)
            except ProcessLookupError:
                path.unlink(missing_ok=True)


def follow(
    bundle: Path,
    folder: SwitchFolder,
    target: str,
    http_port: int,
    stopping: threading.Event,
    trusted_key: Path | None = None,
) -> None:
    """Waits for the replica, then brings it to whatever bundle is named, until it is told to stop."""
    url = f"http://127.0.0.1:{http_port}/v2/models/search/ready"
    while not _answers(url):
        if stopping.wait(LOOK_SECONDS):
            return
    state = StateSettings.from_environment()
    arms = tuple(place.id for place in arm_places(experiment_from_environment()))
    kept_at = state.to_environment() if state else {}
    folder.note(ServerNote(target_named(target), kept_at, arms=arms, trusted_key=str(trusted_key or "")))
    follower = Follower(pointer_of(bundle), folder)
    log = log_as_json()
    while not stopping.wait(LOOK_SECONDS):
        try:
            if done := follower.look():
                log.info(done)
        except (SwitchError, BundleError, SpecError, StateError) as error:
            log.warning(str(error))


def _place(root: Path) -> BundlePlace:
    served = Bundle.open(root.resolve(), verify=())
    return BundlePlace(served.id, str(served.root))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310  our own address
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Runs one of the three commands; returns why it failed, for `sys.exit`."""
    parser = argparse.ArgumentParser(prog="python3 -m fuserank_ensemble.serving.switch.fleet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    named = {name: commands.add_parser(name) for name in ("promote", "rollback", "follow")}
    for command in named.values():
        command.add_argument("--bundle", type=Path, required=True, help="the bundle that the replicas were started on")
    for name in ("promote", "follow"):
        add_trusted_key(named[name])
    named["promote"].add_argument("promoted", type=Path, help="the bundle that they are to serve")
    named["promote"].add_argument(
        "--keep", type=int, default=2, help="how many older ones of the job are kept beside the one before"
    )
    named["follow"].add_argument("--switch", type=Path, required=True, help="the folder that `verify` has made")
    named["follow"].add_argument("--target", required=True, help="how the replica runs the graph")
    named["follow"].add_argument("--http-port", type=int, default=8000, help="Triton's")
    options = parser.parse_args(arguments)
    try:
        if options.command == "follow":
            stopping = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stopping.set())
            folder = SwitchFolder(options.switch)
            follow(options.bundle, folder, options.target, options.http_port, stopping, options.trusted_key)
            return None
        pointer = pointer_of(options.bundle)
        if options.command == "promote":
            promoted = promote(pointer, options.promoted, options.bundle, options.keep, options.trusted_key)
        else:
            promoted = rollback(pointer)
    except (SwitchError, BundleError, SpecError, StateError) as error:
        return f"error: {error}"
    sys.stdout.write(f"{promoted.served.id} at {promoted.served.folder} is what the replicas go to\n")
    return None


if __name__ == "__main__":
    sys.exit(main())
