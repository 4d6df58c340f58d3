"""`fuserank evaluate events`: whether what people rate low, return or merely look at is still recommended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.planted_events import PlantedLog, bought_films, rated_films
from fuserank_evaluation.metrics.measures import MEASURES, measure
from fuserank_evaluation.shoppers.answers import Product
from fuserank_evaluation.shoppers.films import read_films, taste_groups
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions, RankerOptions
from fuserank_export.progress import Progress

SHOP = Path("build/eval/events")
FILMS = 1_000  # the most voted of the corpus
RANKER = RankerOptions(quality="quick", cases=100, epochs=1)  # what is measured is in all that fusion joins
ASKED = 200  # users, the first by id
FIRST = 10
Draw = Callable[[NDArray[np.object_], Mapping[str, NDArray[np.int64]]], PlantedLog]
LOGS: Mapping[str, Draw] = {"rated": rated_films, "bought": bought_films}
MEANINGS = {
    "unwanted": "share of the first ten recommended that most rated low, or that nobody keeps",
    "own_unwanted": "share of the first ten recommended that the user rated low or returned",
    "ndcg_at_10": "nDCG@10 of what the users take later, of what is new to them",
}


def evaluate_events(films: Path, encoder: str, console: Console) -> dict[str, float]:
    """Exports the films with each of `LOGS`, and prints and returns the figures.

    Args:
        films: Folder of the films' corpus.
        encoder: Hugging Face id or folder of the encoder.
        console: Shows progress and figures.
    """
    figures: dict[str, float] = {}
    for name, draw in LOGS.items():
        product, log = open_shop(films, encoder, name, draw, Progress(console))
        values = measure_events(product, log)
        figures |= {f"events_{name}_{figure}": value for figure, value in values.items()}
    for name, value in figures.items():
        meaning = next(text for figure, text in MEANINGS.items() if name.endswith(f"d_{figure}"))
        console.print(f"{name:32} {value:>8}  {meaning}", highlight=False)
    return figures


def open_shop(films: Path, encoder: str, name: str, draw: Draw, progress: Progress) -> tuple[Product, PlantedLog]:
    """Writes the most voted films with a planted log, exports them and opens the bundle."""
    folder = SHOP / name
    folder.mkdir(parents=True, exist_ok=True)
    records = sorted(read_films(films / "movies-corpus.jsonl.gz"), key=lambda film: -film["votes"])[:FILMS]
    catalog, interactions = folder / "catalog.jsonl", folder / "interactions.parquet"
    catalog.write_text("".join(json.dumps(film, ensure_ascii=False) + "\n" for film in records), "utf-8")
    log = draw(np.asarray([film["item_id"] for film in records], object), taste_groups(records))
    log.events.to_parquet(interactions)
    export_bundle(
        inputs=InputFiles(catalog=catalog, interactions=interactions, features=()),
        encoder=EncoderOptions(source=encoder),
        ranker=RANKER,
        out=OutputOptions(folder=folder / "bundle", force=True, vector_cache=SHOP / "vectors"),
        progress=progress,
    )
    return Product.open(Bundle.open(folder / "bundle", verify=())), log


def measure_events(product: Product, log: PlantedLog) -> dict[str, float]:
    """Asks for recommendations of the first users, and returns the figures of `MEANINGS`."""
    rows = {user: product.answer("", user, k=FIRST) for user in sorted(log.wanted)[:ASKED]}
    new = [product.answer("", user, k=FIRST, exclude_seen=True) for user in rows]
    row_of = {item.decode(): row for row, item in enumerate(product.bundle.items.ids.tolist())}

    def share(unwanted: Callable[[str], list[str]]) -> float:
        inside = [np.isin(listed, [row_of[item] for item in unwanted(user)]).sum() for user, listed in rows.items()]
        return round(float(np.mean(inside)) / FIRST, 4)

    wanted = [np.asarray([row_of[item] for item in log.wanted[user]], np.int32) for user in rows]
    ndcg = measure(new, wanted, {"ndcg_at_10": MEASURES["ndcg_at_10"]})["ndcg_at_10"]
    return {
        "unwanted": share(lambda user: log.unwanted),
        "own_unwanted": share(lambda user: log.own_unwanted.get(user, [])),
        "ndcg_at_10": round(float(np.mean(ndcg)), 4),
    }
