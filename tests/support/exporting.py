"""Exports a bundle in seconds: a ranker of a few steps, and nothing on the terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from fuserank_ensemble.bundle import MANIFEST
from fuserank_ensemble.spec import RANKED_KINDS
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import (
    LEAST_CASES,
    EncoderOptions,
    GraphOptions,
    InputFiles,
    OutputOptions,
    RankerOptions,
)
from fuserank_export.progress import Progress
from fuserank_export.training.fitting.settings import FitSettings

# Enough for a ranker that is in the bundle and orders nothing, for one that has learned a little, and for one that
# orders well.
HARDLY = RankerOptions(quality="quick", cases=LEAST_CASES, fit=FitSettings(epochs=1))
QUICKLY = replace(HARDLY, fit=FitSettings(epochs=2))
WELL = RankerOptions(quality="quick", fit=FitSettings(epochs=3))
FEW_CANDIDATES = GraphOptions(candidates=32)


def silent():
    return Progress(Console(file=io.StringIO()))


def export_quickly(
    catalog, encoder, out, *, interactions=None, max_bad_rows=0.05, features=(), users=None, force=False, ranker=None,
    graph=FEW_CANDIDATES, vectors=None, max_unknown_items=0.5, vector_cache=None, files=None, **encoder_options: Any,
):  # fmt: skip
    """Exports a shop and returns the bundle's folder; without a log its ranker has hardly learned.

    `files` are more of the input files' options. Columns of the shop's own are no features unless `features` says so:
    to find out whether they gain takes its time. Half as many candidates as by default are half of a training.
    """
    export_bundle(
        inputs=InputFiles(
            catalog=catalog,
            interactions=interactions,
            max_bad_rows=max_bad_rows,
            features=features,
            users=users,
            max_unknown_items=max_unknown_items,
            **(files or {}),
        ),
        encoder=EncoderOptions(source=str(encoder), **encoder_options),
        ranker=ranker or (QUICKLY if interactions else HARDLY),
        graph=graph,
        vectors=vectors,
        out=OutputOptions(folder=out, force=force, vector_cache=vector_cache),
        progress=silent(),
    )
    return out


def rank_all_kinds(bundle: Path, kinds=RANKED_KINDS) -> Path:
    """Lets a bundle's ranker order these kinds of request: in so small a shop it need not be better than fusion."""
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    manifest["spec"]["ranked_kinds"] = list(kinds)
    (bundle / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return bundle
