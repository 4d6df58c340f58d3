"""A new bundle with other engines: everything else is the old one's, hard-linked, never edited in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.cost import RankerCost
from fuserank_ensemble.spec import EngineKind
from fuserank_export.model_config import NO_PLANS, EngineFiles, config_files
from fuserank_export.sealing import check_place, moved, seal


def write_successor(
    bundle: Bundle,
    out: Path,
    added: Mapping[str, Path],
    changes: Mapping[str, Any],
    force: bool,
    dropped: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes a bundle that differs in its engines and configurations.

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
        InputError: Where the place is taken.
    """
    check_place(out, force)
    files = engine_files(bundle, changes["engines"])
    heavy = RankerCost.of({**bundle.manifest, **changes}, bundle.spec.text_candidates).heavy
    configs = {f"model_repository/{name}": text for name, text in config_files(bundle.spec, files, heavy)}
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir()
    kept = {
        name: digest
        for name, digest in bundle.manifest["files"].items()
        if name not in added and not name.endswith(".pbtxt") and not name.startswith(dropped)
    }
    try:
        for name in kept:
            _link(bundle.root / name, partial / name)
        for name, source in added.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / name)
        for name, text in configs.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_text(text, "utf-8")
        old = {key: value for key, value in bundle.manifest.items() if key not in ("id", "files")}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = seal(partial, {**old, **changes, "created": created, "made_from": bundle.id}, kept)
        moved(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def engine_files(bundle: Bundle, measured: Mapping[str, Any]) -> EngineFiles:
    """Which file each kind of engine is: what was chosen for it, else what the export wrote.

    Args:
        bundle: The bundle that the engines are of.
        measured: The manifest's `engines`.
    """
    files = dict(NO_PLANS)
    for kind in get_args(EngineKind):
        chosen = measured.get(kind, {}).get("chosen", {})
        files |= {(kind, stage): file for stage, file in chosen.items()}
    return files


def _link(source: Path, target: Path) -> None:
    """One file under two names; a copy where the file system cannot do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
