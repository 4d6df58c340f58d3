"""Closes a bundle: every file's hash, an id that covers them, and its place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fuserank_ensemble.bundle import MANIFEST, sha256
from fuserank_export.sources import InputError


def check_place(out: Path, force: bool) -> None:
    """Refuses a place that is taken.

    Raises:
        InputError: Naming it and the remedy.
    """
    if out.exists() and not force:
        raise InputError(f"--out {out}: exists already; choose a new folder, or replace it with --force")


def seal(folder: Path, manifest: Mapping[str, Any], known: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """Writes the manifest with every file's hash, and the id, which covers the hashes, the spec and the moment.

    Args:
        folder: The bundle's folder.
        manifest: All but `id` and `files`.
        known: Hashes by path of files that need not be read again.

    Returns:
        The manifest as written.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    names = {str(path.relative_to(folder)): path for path in paths}
    hashes = {name: known.get(name) or sha256(path) for name, path in names.items()}
    created = manifest["created"]
    digest = hashlib.sha256(json.dumps([created, manifest.get("spec"), hashes], sort_keys=True).encode()).hexdigest()
    sealed = {"id": f"b-{created[:10].replace('-', '')}-{digest[:8]}", **manifest, "files": hashes}
    (folder / MANIFEST).write_text(json.dumps(sealed, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return sealed


def moved(partial: Path, out: Path) -> None:
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
