"""The place of a bundle: it is built in a folder beside it, and moved there when it is whole."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuserank_export.sources.report import InputError


def check_place(out: Path, force: bool) -> None:
    """Refuses a place that is taken.

    Raises:
        InputError: Naming it and the remedy.
    """
    if out.exists() and not force:
        raise InputError(f"--out {out}: exists already; choose a new folder, or replace it with --force")


@contextmanager
def partial_bundle(out: Path, force: bool, abandoned: Callable[[Path], None] = lambda partial: None) -> Iterator[Path]:
    """Yields an empty folder that takes the bundle's place when the block ends, and is removed where it fails.

    Args:
        out: The place.
        force: Replace what is there.
        abandoned: Called with each folder that a run which was killed left, before it is removed.

    Raises:
        InputError: Where the place is taken.
    """
    check_place(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(out, abandoned)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    partial.mkdir()
    try:
        with _locked(partial):
            yield partial
            move_into_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_abandoned(out: Path, abandoned: Callable[[Path], None]) -> None:
    """Removes what runs that were killed left beside the place: unlike a run that goes on, they hold no lock."""
    for partial in out.parent.glob(f".{glob.escape(out.name)}.partial-*"):
        try:
            with _locked(partial):
                abandoned(partial)
                shutil.rmtree(partial, ignore_errors=True)
        except OSError:  # locked, or gone meanwhile
            continue
    if out.exists():
        for replaced in out.parent.glob(f".{glob.escape(out.name)}.replaced-*"):
            shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder's lock, which the system lets go of with the process; raises OSError where another has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def move_into_place(partial: Path, out: Path) -> None:
    """Puts a whole bundle in its place; what was there is removed when the new one stands.

    Args:
        partial: The bundle, beside its place.
        out: The place.
    """
    if not (out.exists() or out.is_symlink()):
        partial.rename(out)
        return
    old = out.with_name(f".{out.name}.replaced-{os.getpid()}")
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
