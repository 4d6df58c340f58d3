"""Bundles of another size than the shop's, for latency by size: a bundle's engines over an index of its own.

A smaller shop is a draw of the items. A larger one repeats them: a copy's title joins the words of two items, so that
its text is its own, and its vector is its original's with noise (see `bench_retrieval`). Each household buys one of
an item's copies. The ranker is not taught anew: what it answers is not judged here, only how long it takes.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_benchmarks.retrieval import COPY_COSINE, SEED
from fuserank_ensemble.bundle import FORMAT, REFERENCE, Bundle
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.learn import learn_channels
from fuserank_export.index.catalog import index_catalog
from fuserank_export.index.write import write_index
from fuserank_export.progress import Progress
from fuserank_export.repository.place import partial_bundle
from fuserank_export.repository.sealing import seal
from fuserank_export.repository.warmup import write_warmup
from fuserank_export.sources.catalog import Catalog, read_catalog
from fuserank_export.sources.interactions import Interactions, read_interactions

BLOCK = 50_000


def drawn(rows: int, wanted: int, draw: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which item each of the wanted ones comes from, and the number of the copy, 0 being the item itself.

    Args:
        rows: Items there are.
        wanted: Items there are to be.
        draw: Chooses where there are fewer wanted.
    """
    if wanted <= rows:
        return np.sort(draw.choice(rows, wanted, replace=False)), np.zeros(wanted, np.int64)
    numbers = np.arange(wanted)
    return numbers % rows, numbers // rows


def resized_items(
    items: pd.DataFrame, origin: NDArray[np.int64], copy: NDArray[np.int64], draw: np.random.Generator
) -> pd.DataFrame:
    """The catalogue's rows; a copy has an id and a title of its own. The index is the position in `origin`."""
    frame = items.iloc[origin].reset_index(drop=True)
    copies = np.flatnonzero(copy)
    if len(copies):
        words = [str(title).split() for title in items["title"]]
        others = draw.integers(0, len(items), len(copies))
        ids, titles = frame["item_id"].to_list(), frame["title"].to_list()
        for at, other in zip(copies.tolist(), others.tolist(), strict=True):
            ids[at] = f"{ids[at]}-{copy[at]}"
            mine, theirs = words[origin[at]], words[other]
            titles[at] = " ".join([*mine[: max(2, len(mine) // 2)], *theirs[-2:], str(copy[at])])
        frame["item_id"], frame["title"] = ids, titles
    # As `read_catalog` sorts: by the bytes of the id.
    return frame.sort_values("item_id", key=lambda ids: ids.map(lambda text: text.encode()))


def resized_log(
    log: Interactions, origin: NDArray[np.int64], copy: NDArray[np.int64], rows: NDArray[np.int64]
) -> Interactions:
    """The log on the new catalogue: events of items that are not in it are left out.

    Args:
        log: The shop's.
        origin: Which item each position comes from.
        copy: The number of its copy.
        rows: The row of the new catalogue that each position has.
    """
    copies = int(copy.max(initial=0)) + 1
    place = np.full((int(max(origin.max(), log.item.max(initial=0))) + 1, copies), -1, np.int64)
    place[origin, copy] = rows
    # One household always buys the same copy: habits stay habits. A last copy may be missing: then the item itself.
    bought = (log.user.astype(np.int64) * 7_919 + log.item) % copies
    item = np.where(place[log.item, bought] >= 0, place[log.item, bought], place[log.item, 0])
    kept = item >= 0
    arrays = {name: getattr(log, name)[kept] for name in ("user", "event", "timestamp", "value", "query")}
    places = {name: (codes[kept], names) for name, (codes, names) in log.places.items()}
    return replace(log, **arrays, item=item[kept].astype(np.int32), places=places)


def noisy(vectors: NDArray[Any], which: NDArray[np.bool_], draw: np.random.Generator) -> NDArray[np.float16]:
    """Adds noise to some L2-normalised vectors, of cosine `COPY_COSINE` to what they were; fp16 `[texts, dim]`."""
    spread = np.sqrt((1 / COPY_COSINE**2 - 1) / vectors.shape[1])
    out = vectors.astype(np.float16)
    for start in range(0, len(out), BLOCK):
        chosen = start + np.flatnonzero(which[start : start + BLOCK])
        block = out[chosen].astype(np.float32)
        block += spread * draw.standard_normal(block.shape, np.float32)
        out[chosen] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return out


def write_resized(bundle: Path, shop: Path, wanted: int, out: Path, progress: Progress) -> dict[str, Any]:
    """Writes a bundle of `wanted` items; returns its manifest."""
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    spec = GraphSpec.from_dict(manifest["spec"])
    draw = np.random.default_rng(SEED)
    catalog = read_catalog(shop / "catalog.parquet")
    log = read_interactions(shop / "interactions.parquet", catalog.item_ids)
    known = index_catalog(catalog, spec.text_template, typed=True)
    origin, copy = drawn(len(catalog), wanted, draw)
    with progress.step(f"laying out {wanted:,} items"):
        frame = resized_items(catalog.items, origin, copy, draw)
        order = frame.index.to_numpy()  # the position of each new row
        rows = np.empty(wanted, np.int64)
        rows[order] = np.arange(wanted)
        log = resized_log(log, origin, copy, rows)
        indexed = index_catalog(Catalog(frame.reset_index(drop=True), catalog.report), spec.text_template, typed=True)
        first = np.unique(indexed.items.text, return_index=True)[1]  # an item of each text
        texts = known.items.text[origin[order[first]]]
        vectors = noisy(np.load(bundle / "index" / "vectors.npy")[texts], copy[order[first]] > 0, draw)
    with partial_bundle(out, force=True) as partial:
        write_index(partial / "index", indexed, log)
        np.save(partial / "index" / "vectors.npy", vectors)
        search = learn_channels(partial / "index", indexed, log, vectors, spec=spec, seed=SEED, progress=progress)
        for name in ("tokenizer.json", REFERENCE):
            shutil.copyfile(bundle / "index" / name, partial / "index" / name)
        compiled = shutil.ignore_patterns("__pycache__")  # of this machine's Python, and changing while it is served
        shutil.copytree(bundle / "model_repository", partial / "model_repository", ignore=compiled)
        counts = {"items": wanted, "texts": len(indexed.texts), "events": len(log)}
        changed = {"counts": {**manifest["counts"], **counts}, "search": {**manifest["search"], **search}}
        kept = {key: value for key, value in manifest.items() if key not in ("id", "files")}
        content = {**kept, **changed, "format": FORMAT}
        with progress.step("answering the first requests"):
            seal(partial, content)
            # The requests that warm the stages name rows of the catalogue.
            write_warmup(Bundle.open(partial, verify=()), str(frame["title"].iloc[0])[:3], log.user_ids[0])
        with progress.step("hashing"):
            return seal(partial, content)


def main() -> None:
    """Writes one bundle."""
    parser = argparse.ArgumentParser(description="A bundle of another size, with a bundle's engines.")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--shop", type=Path, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write_resized(arguments.bundle, arguments.shop, arguments.items, arguments.out, Progress())


if __name__ == "__main__":
    main()
