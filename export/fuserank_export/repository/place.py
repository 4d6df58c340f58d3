"""The place of a bundle: it is built in a folder beside it, and moved there when it is whole.

Runs may share the place from several machines, and in containers every one of them has the process id 1. So names are
random, and a run that goes on is known by a lock, which the system lets go of with its process.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fuserank_export.sources.report import InputError

LOCK_SUFFIX = ".lock"  # a file beside a partial folder: a network file system locks no folder


def check_place(out: Path, force: bool) -> None:
    """Refuses a place that is taken.

    Raises:
        InputError: Naming it and the remedy.
    """
    if out.exists() and not force:
        raise InputError(f"--out {out}: exists already; choose a new folder, or replace it with --force")


@contextmanager
def partial_bundle(
    out: Path, force: bool, abandoned: Callable[[Path], None] = lambda partial: None, *, beside: bool = False
) -> Iterator[Path]:
    """Yields an empty folder that takes the bundle's place when the block ends, and is removed where it fails.

    Args:
        out: The place.
        force: Replace what is there.
        abandoned: Called with each folder that a run which was killed left, before it is removed.
        beside: Whether what was left of other bundles in the same folder is removed as well.

    Raises:
        InputError: Where the place is taken, at the start or by another run meanwhile.
    """
    check_place(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(out, abandoned, beside)
    partial, lock = _claim(out)
    try:
        partial.mkdir()
        yield partial
        move_into_place(partial, out, force=force)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _lock_of(partial).unlink(missing_ok=True)
        os.close(lock)


def _remove_abandoned(out: Path, abandoned: Callable[[Path], None], beside: bool) -> None:
    """Removes what runs that were killed left beside a place, of its own bundle or of all."""
    found = out.parent.glob(f".{'*' if beside else glob.escape(out.name)}.partial-*")
    for partial in {path.with_name(path.name.removesuffix(LOCK_SUFFIX)) for path in found}:
        with suppress(OSError), _lock_left(partial):  # locked, or another run removes it, too
            if partial.is_dir():
                abandoned(partial)
                shutil.rmtree(partial, ignore_errors=True)
            _lock_of(partial).unlink(missing_ok=True)
    if out.exists():
        for replaced in out.parent.glob(f".{glob.escape(out.name)}.replaced-*"):
            shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def _lock_left(partial: Path) -> Iterator[None]:
    """Holds the lock of what a run left; raises OSError where the run goes on, or the file system cannot say so."""
    try:
        lock = os.open(_lock_of(partial), os.O_RDWR)
    except FileNotFoundError:
        yield  # a run makes the lock before the folder, and removes it after
        return
    try:
        if not lock_file(lock):
            raise BlockingIOError
        yield
    finally:
        os.close(lock)


def _claim(out: Path) -> tuple[Path, int]:
    """Returns the name of a folder that is no other run's, and the descriptor that holds its lock."""
    while True:
        partial = out.with_name(f".{out.name}.partial-{uuid.uuid4().hex}")
        lock = os.open(_lock_of(partial), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        held = lock_file(lock)
        # Between the two calls above another run may have taken it for abandoned.
        if held is not False and _lock_of(partial).exists():
            return partial, lock
        os.close(lock)


def lock_file(descriptor: int) -> bool | None:
    """Locks an open file; returns False where another process has it, None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def wait_for_lock(descriptor: int, waiting: Callable[[], None]) -> bool:
    """Locks an open file when it is free; returns False where the file system has no locks.

    Args:
        descriptor: The file, open for writing.
        waiting: Is called once where another process has the lock.
    """
    held = lock_file(descriptor)
    if held is False:
        waiting()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return held is not None


def _lock_of(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}{LOCK_SUFFIX}")


def move_into_place(partial: Path, out: Path, *, force: bool) -> None:
    """Puts a whole bundle in its place; what was there is removed when the new one stands.

    Args:
        partial: The bundle, beside its place.
        out: The place.
        force: Replace what is there.

    Raises:
        InputError: Where the place was taken meanwhile.
    """
    if not force or not (out.exists() or out.is_symlink()):
        try:
            partial.rename(out)
        except OSError:
            # Only an empty folder is replaced by a rename.
            check_place(out, force=False)
            raise
        return
    old = out.with_name(f".{out.name}.replaced-{uuid.uuid4().hex}")
    out.rename(old)
    try:
        partial.rename(out)
    except OSError:
        old.rename(out)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
    else:
        old.unlink()
