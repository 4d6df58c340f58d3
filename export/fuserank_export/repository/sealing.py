"""Closes a bundle: its Triton configurations, every file's hash, and an id that covers them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from fuserank_ensemble.bundle import MANIFEST, sha256
from fuserank_ensemble.candidates.cost import RankerCost
from fuserank_ensemble.spec import EngineKind, GraphSpec
from fuserank_export.repository.model_config import NO_PLANS, EngineFiles
from fuserank_export.repository.write import write_repository

NO_HASHES: Mapping[str, str] = MappingProxyType({})


def seal_bundle(folder: Path, manifest: Mapping[str, Any], known: Mapping[str, str] = NO_HASHES) -> dict[str, Any]:
    """Writes the model repository that a manifest describes, then the manifest.

    Args:
        folder: The bundle's folder, with its engines and its index.
        manifest: All but `id` and `files`; its `spec`, `engines` and costs say what the configurations hold.
        known: Hashes by path of files that need not be read again.

    Returns:
        The manifest as written.
    """
    spec = GraphSpec.from_dict(manifest["spec"])
    heavy = RankerCost.from_manifest(manifest, spec.text_candidates).heavy
    write_repository(folder / "model_repository", spec, engine_files(manifest["engines"]), heavy)
    return seal(folder, manifest, known)


def seal(folder: Path, manifest: Mapping[str, Any], known: Mapping[str, str] = NO_HASHES) -> dict[str, Any]:
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


def engine_files(engines: Mapping[str, Any]) -> EngineFiles:
    """Returns which file each kind of engine is: what was chosen for it, else what the export wrote.

    Args:
        engines: The manifest's `engines`.
    """
    files = dict(NO_PLANS)
    for kind in get_args(EngineKind):
        chosen = engines.get(kind, {}).get("chosen", {})
        files |= {(kind, stage): file for stage, file in chosen.items()}
    return files
