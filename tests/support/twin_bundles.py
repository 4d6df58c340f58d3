"""A bundle and its twin, whose answers are the same but for the items' ids."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from fuserank_ensemble.bundle import MANIFEST
from fuserank_export.repository.sealing import seal

IDS = Path("index") / "items" / "ids.npy"


def make_twin(bundle: Path, out: Path, prefix: str, **changes) -> Path:
    """Copies a bundle; ids get the prefix, the manifest the changes, and the bundle an id of its own.

    Large files are linked: nobody may write into them.
    """
    shutil.copytree(bundle, out, copy_function=_link)
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    (out / IDS).unlink()
    np.save(out / IDS, np.char.add(prefix.encode(), np.load(bundle / IDS)))
    known = {name: digest for name, digest in manifest["files"].items() if name != IDS.as_posix()}
    rest = {name: value for name, value in manifest.items() if name not in ("id", "files")}
    seal(out, {**rest, **changes}, known)
    return out


def _link(source: str, target: str) -> None:
    """Links arrays and engines, and copies what a test may write anew."""
    if source.endswith((".npy", ".onnx", ".data")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
