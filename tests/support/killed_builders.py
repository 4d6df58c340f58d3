"""Builders that share a folder: real processes, each killed at one of its steps.

A step is a call by which the process changes or reads the folder. All have one process id, as in containers.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fuserank_ensemble.bundle import MANIFEST, BundleError
from fuserank_ensemble.serving.engines import EngineKey
from fuserank_export.engines.shared import SharedEngines
from fuserank_export.files import write_atomically
from fuserank_export.repository.place import partial_bundle

OLD, KEY = "old", "shop-89"
CONTENT = b"an engine" * 100
own_pid = os.getpid


def build(shared: SharedEngines, name: str, place: Path) -> None:
    """What the export does: an engine in the cache, and a bundle that has it."""
    key = EngineKey("8.9", "10.13.2", name * 12, "cd" * 32)
    path = shared.cache / key.folder / "model.plan"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, CONTENT)
    with partial_bundle(place, force=False) as folder:
        (folder / "model.plan").write_bytes(CONTENT)
        (folder / MANIFEST).write_text(json.dumps({"engines": {"tensorrt": {"keys": {"encoder": key.to_dict()}}}}))


def check(place: Path) -> None:
    """As `Bundle.open`: all files are there, and whole."""
    if not (place / MANIFEST).is_file() or (place / "model.plan").read_bytes() != CONTENT:
        raise BundleError(f"{place}: not whole")


def use(root: Path, name: str = KEY) -> None:
    """What one builder does."""
    shared = SharedEngines(root, 1, lambda text: None)
    check(shared.find_or_build(name, lambda place: build(shared, name, place), check))


def started(root: Path, kill_at: int | None, run: Callable[[Path], None] = use) -> int:
    """Starts a builder; returns the process id by which it is known here."""
    child = os.fork()
    if child:
        return child
    real = own_pid()
    os.getpid = lambda: 1
    steps = itertools.count(1)

    def step(event: str, arguments: tuple[object, ...]) -> None:
        touches = any(str(root) in str(argument) for argument in arguments) or event == "fcntl.flock"
        if touches and next(steps) == kill_at:
            os.kill(real, signal.SIGKILL)

    sys.addaudithook(step)
    try:
        run(root)
    except BaseException as error:
        print(f"builder: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def ended(child: int) -> int:
    """How it ended: 0, or negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def left(root: Path) -> list[str]:
    """What lies in the folder in the end."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def killed_at_every_step(root: Path) -> int:
    """Each time one is killed a step later; the next builder must find or make the bundle, and leave nothing else."""
    for step in itertools.count(1):
        folder = root / f"step-{step}"
        use(folder, OLD)
        how = ended(started(folder, step))
        assert ended(started(folder, None)) == 0, f"the next builder failed after a kill at step {step}"
        found = left(folder)
        assert len(found) == 4, (step, found)
        assert found[:3] == [".lock", f"bundles/{KEY}/{MANIFEST}", f"bundles/{KEY}/model.plan"], (step, found)
        assert f"-{(KEY * 12)[:12]}-" in found[3], (step, found)
        if how == 0:
            return step - 1
    raise AssertionError


def side_by_side(root: Path) -> None:
    """Two at once, one of them killed somewhere: the other one ends well."""
    for step in (None, 5, 15, 25):
        folder = root / f"both-{step}"
        first, second = started(folder, step), started(folder, None)
        assert ended(second) == 0
        # Where the second was faster there is little to do, and nothing to be killed at.
        assert ended(first) in ((0,) if step is None else (0, -signal.SIGKILL))
        check(folder / "bundles" / KEY)


def without_locks(root: Path) -> None:
    """A file system that has none: both build at the same time, and both have a bundle."""

    def none(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    fcntl.flock = none  # type: ignore[assignment]
    root.mkdir()

    def run(folder: Path) -> None:
        shared = SharedEngines(folder, 1, lambda text: None)

        def both(place: Path) -> None:
            with partial_bundle(place, force=False) as partial:
                (partial / "model.plan").write_bytes(CONTENT)
                (partial / MANIFEST).write_text("{}")
                (folder / str(real)).touch()
                while len([path for path in folder.iterdir() if path.name.isdigit()]) < 2:
                    time.sleep(0.01)

        real = own_pid()
        check(shared.find_or_build(KEY, both, check))

    children = [started(root, None, run), started(root, None, run)]
    assert [ended(child) for child in children] == [0, 0]
    check(root / "bundles" / KEY)


if __name__ == "__main__":
    here = Path(sys.argv[1])
    print(f"{killed_at_every_step(here)} steps", flush=True)
    side_by_side(here)
    without_locks(here / "without-locks")
