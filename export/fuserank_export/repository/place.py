"""The place of a bundle: it is built in a folder beside it, and moved there when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
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
def partial_bundle(out: Path, force: bool) -> Iterator[Path]:
    """Yields an empty folder that takes the bundle's place when the block ends, and is removed where it fails.

    Args:
        out: The place.
        force: Replace what is there.

    Raises:
        InputError: Where the place is taken.
    """
    check_place(out, force)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir()
    try:
        yield partial
        move_into_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
