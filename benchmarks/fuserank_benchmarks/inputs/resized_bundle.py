"""Bundles of another size than the shop's, for latency by size: a bundle's engines over an index of another size.

A smaller shop is a draw of the items. A larger one repeats them: a copy's title joins the words of two items, so that
each text is unique, and its vector is its original's with noise (see `inputs.vectors`). Each household buys one of an
item's copies. The ranker is not retrained: its latency is measured here, not its relevance.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_benchmarks.inputs.queries import SEED
from fuserank_benchmarks.inputs.vectors import COPY_COSINE, noisy_copies
from fuserank_ensemble.bundle import FORMAT, REFERENCE, SYNONYMS, Bundle
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.state.keys import keep_key, key_file_beside
from fuserank_export.builder.learn import learn_channels
from fuserank_export.builder.query_counts import QueryPrivacy
from fuserank_export.index.catalog import index_catalog
from fuserank_export.index.users import name_users, user_key
from fuserank_export.index.write import write_histories, write_items
from fuserank_export.progress import Progress
from fuserank_export.repository.place import partial_bundle
from fuserank_export.repository.sealing import seal
from fuserank_export.repository.warmup import write_warmup
from fuserank_export.sources import Interactions, read_interactions
from fuserank_export.sources.catalog import Catalog, read_catalog


def draw_items(rows: int, wanted: int, draw: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The original of each wanted item, and the number of the copy, 0 for the original itself: both `[wanted]`.

    Args:
        rows: Number of items of the shop.
        wanted: Number of items of the new catalogue.
        draw: Chooses the items of a smaller catalogue.
    """
    if wanted <= rows:
        return np.sort(draw.choice(rows, wanted, replace=False)), np.zeros(wanted, np.int64)
    numbers = np.arange(wanted)
    return numbers % rows, numbers // rows


def resized_items(
    items: pd.DataFrame, origin: NDArray[np.int64], copy: NDArray[np.int64], draw: np.random.Generator
) -> pd.DataFrame:
    """The new catalogue's rows, sorted by id; copies have ids and titles of their own. The index is the position."""
    frame = items.iloc[origin].reset_index(drop=True)
    copies = np.flatnonzero(copy)
    if len(copies):
        words = [str(title).split() for title in items["title"]]
        others = draw.integers(0, len(items), len(copies))
        ids, titles = frame["item_id"].to_list(), frame["title"].to_list()
        for at, other in zip(copies.tolist(), others.tolist(), strict=True):
            ids[at] = f"{ids[at]}-{copy[at]}"
            own_words = words[origin[at]]
            kept = own_words[: max(2, len(own_words) // 2)]
            titles[at] = " ".join([*kept, *words[other][-2:], str(copy[at])])
        frame["item_id"], frame["title"] = ids, titles
    # As `read_catalog` sorts: by the bytes of the id.
    return frame.sort_values("item_id", key=lambda ids: ids.map(lambda text: text.encode()))


def resized_log(
    log: Interactions, origin: NDArray[np.int64], copy: NDArray[np.int64], rows: NDArray[np.int64]
) -> Interactions:
    """The log on the new catalogue, without events of items that it lacks.

    Args:
        log: The shop's log.
        origin: The original of each position, `[wanted]`.
        copy: The number of its copy, `[wanted]`.
        rows: The new catalogue's row of each position, `[wanted]`.
    """
    copies = int(copy.max(initial=0)) + 1
    place = np.full((int(max(origin.max(), log.item.max(initial=0))) + 1, copies), -1, np.int64)
    place[origin, copy] = rows
    # A household always buys the same copy, so that habits remain. Where that copy is missing it buys the original.
    bought = (log.user.astype(np.int64) * 7_919 + log.item) % copies
    item = np.where(place[log.item, bought] >= 0, place[log.item, bought], place[log.item, 0])
    kept = item >= 0
    arrays = {name: getattr(log, name)[kept] for name in ("user", "event", "timestamp", "value", "query")}
    places = {name: (codes[kept], names) for name, (codes, names) in log.places.items()}
    return replace(log, **arrays, item=item[kept].astype(np.int32), places=places)


def add_noise(vectors: NDArray[np.float16], is_copy: NDArray[np.bool_], draw: np.random.Generator) -> None:
    """Adds noise in place to the vectors `[texts, dim]` of copies `[texts]`."""
    rows = np.flatnonzero(is_copy)
    vectors[rows] = noisy_copies(vectors, rows, COPY_COSINE, draw)


def write_resized_bundle(bundle: Path, shop: Path, wanted: int, out: Path, progress: Progress) -> dict[str, Any]:
    """Writes a bundle of `wanted` items.

    Args:
        bundle: The bundle whose engines and vectors are taken.
        shop: Folder of `catalog.parquet` and `interactions.parquet`.
        wanted: Number of items.
        out: The new bundle's folder.
        progress: Shows the steps.

    Returns:
        The new bundle's manifest.
    """
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    spec = GraphSpec.from_dict(manifest["spec"])
    draw = np.random.default_rng(SEED)
    catalog = read_catalog(shop / "catalog.parquet")
    log = read_interactions(shop / "interactions.parquet", catalog.item_ids)
    synonyms = Synonyms.open(bundle / "index" / SYNONYMS)
    known = index_catalog(catalog, spec.text_template, synonyms=synonyms)
    origin, copy = draw_items(len(catalog), wanted, draw)
    with progress.step(f"laying out {wanted:,} items"):
        frame = resized_items(catalog.items, origin, copy, draw)
        order = frame.index.to_numpy()  # the position of each new row
        rows = np.empty(wanted, np.int64)
        rows[order] = np.arange(wanted)
        log = resized_log(log, origin, copy, rows)
        resized = Catalog(frame.reset_index(drop=True), catalog.report)
        indexed = index_catalog(resized, spec.text_template, synonyms=synonyms)
        first = np.unique(indexed.items.text, return_index=True)[1]  # an item of each text
        texts = known.items.text[origin[order[first]]]
        vectors = np.load(bundle / "index" / "vectors.npy")[texts]
        add_noise(vectors, copy[order[first]] > 0, draw)
    key = keep_key(key_file_beside(out))
    with partial_bundle(out, force=True) as partial:
        write_items(partial / "index", indexed)
        write_histories(partial / "index", name_users(log, key))
        np.save(partial / "index" / "vectors.npy", vectors)
        privacy = QueryPrivacy()
        search = learn_channels(
            partial / "index", indexed, log, vectors, spec=spec, seed=SEED, progress=progress, privacy=privacy
        )
        for name in ("tokenizer.json", REFERENCE):
            shutil.copyfile(bundle / "index" / name, partial / "index" / name)
        bytecode = shutil.ignore_patterns("__pycache__")  # it changes while the bundle is served
        shutil.copytree(bundle / "model_repository", partial / "model_repository", ignore=bytecode)
        counts = {"items": wanted, "texts": len(indexed.texts), "events": len(log)}
        changed = {"counts": {**manifest["counts"], **counts}, "search": {**manifest["search"], **search}}
        kept = {key: value for key, value in manifest.items() if key not in ("id", "files")}
        content = {**kept, **changed, "format": FORMAT, "user_key": user_key(key, log)}
        with progress.step("answering the first requests"):
            seal(partial, content)
            # Warm-up requests name rows of the catalogue.
            write_warmup(
                Bundle.open(partial, verify=()), str(frame["title"].iloc[0])[:3], key.user_name(log.user_ids[0])
            )
        with progress.step("hashing"):
            return seal(partial, content)
