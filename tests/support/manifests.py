"""A manifest by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fuserank_ensemble.bundle import FORMAT, MANIFEST
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.spec import GraphSpec


def manifest(**changed: Any) -> dict[str, Any]:
    """A manifest with all that serving reads of it, and no file; a part that is `...` is left out."""
    whole = {
        "id": "b-1",
        "format": FORMAT,
        "created": "2026-11-29T17:52:20+00:00",
        "user_key": "",
        "features": [feature.name for feature in FEATURES],
        "spec": GraphSpec().to_dict(),
        "files": {},
        "fields": ["brand", "price", "title"],
        "counts": {"items": 3, "events": 0},
        "inputs": {"reading": {"most_a_day": 10}},
        "log_end": 1_514_779_280,
        "live_log": {"id": "", "position": 0},
        "events": EventTable().to_dict(),
        "engines": {"cpu": {"chosen": {"encoder": "model.onnx"}}},
        "ranker_ms": {"32": 0.3},
    } | changed
    return {name: value for name, value in whole.items() if value is not ...}


def write_manifest(folder: Path, **changed: Any) -> None:
    """Writes it into a bundle's folder."""
    (folder / MANIFEST).write_text(json.dumps(manifest(**changed)))
