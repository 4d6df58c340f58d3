"""A new bundle made from an old one: files that stay are hard-linked, none is edited in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.state.keys import carry_key
from fuserank_ensemble.state.log import StateError
from fuserank_export.repository.place import partial_bundle
from fuserank_export.repository.sealing import seal_bundle
from fuserank_export.sources import InputError


def write_successor(
    bundle: Bundle,
    out: Path,
    *,
    added: Mapping[str, Path],
    changes: Mapping[str, Any],
    force: bool,
    dropped: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes a bundle that differs in some files and in its configurations; the key of users beside it is copied.

    Args:
        bundle: The old one, verified.
        out: Where the new one goes.
        added: Files to add or to replace, by path within the bundle.
        changes: What changes in the manifest; its `engines` say which file each kind is.
        force: Replace what is at `out`.
        dropped: The old one's files to leave out, as path prefixes within the bundle.

    Returns:
        The manifest, with an id of its own.

    Raises:
        InputError: Where the place is taken, or the key cannot be copied.
    """
    kept = {
        name: digest
        for name, digest in bundle.manifest["files"].items()
        if name not in added and not name.startswith(dropped) and not is_configuration(name)
    }
    with partial_bundle(out, force) as partial:
        for name in kept:
            _link(bundle.root / name, partial / name)
        for name, source in added.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / name)
        old = {key: value for key, value in bundle.manifest.items() if key not in ("id", "files")}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = seal_bundle(partial, {**old, **changes, "created": created, "made_from": bundle.id}, kept)
        try:
            carry_key(bundle.root, out)
        except StateError as error:
            raise InputError(str(error)) from None
    return manifest


def is_configuration(name: str) -> bool:
    """Whether sealing writes a file anew: it must not write into the old bundle's."""
    return name.startswith("model_repository/") and name.endswith((".pbtxt", "/model.py"))


def _link(source: Path, target: Path) -> None:
    """Gives a file a second name; copies it where the file system cannot do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
