"""Films with made histories: a shop whose users have a taste, and searches that people judged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.films import LEADS, read_judged_queries
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.datasets.made_log import MadeUsers, make_log
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.shoppers.answers import Product
from fuserank_evaluation.shoppers.personal import personal_figures
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions, RankerOptions
from fuserank_export.progress import Progress

SHOP = Path("build/eval/films-shop")
USERS = MadeUsers(count=1_000, least=20, most=60, days=730, event="rating")
RANKER = RankerOptions(quality="quick")
QUERIES = 500
LEAST_GROUP = 100  # films of a genre or a decade that somebody may like


def open_shop(
    data: Path, encoder: str, progress: Progress, users: MadeUsers = USERS, ranker: RankerOptions = RANKER
) -> Product:
    """Writes the films as a shop would, with a made log, exports them and opens the bundle.

    Args:
        data: Folder of the films' corpus.
        encoder: Hugging Face id or folder of the encoder.
        progress: Shows the steps.
        users: How the log's users are drawn.
        ranker: How the ranker is trained.
    """
    SHOP.mkdir(parents=True, exist_ok=True)
    films = read_films(data / "movies-corpus.jsonl.gz")
    catalog, interactions = SHOP / "catalog.jsonl", SHOP / "interactions.parquet"
    catalog.write_text("".join(json.dumps(film, ensure_ascii=False) + "\n" for film in films), "utf-8")
    votes = np.asarray([float(film["votes"]) for film in films])
    item_ids = np.asarray([film["item_id"] for film in films], object)
    make_log(item_ids, taste_groups(films), 1.0 + votes, users).write(interactions)
    export_bundle(
        inputs=InputFiles(catalog=catalog, interactions=interactions),
        encoder=EncoderOptions(source=encoder),
        ranker=ranker,
        out=OutputOptions(folder=SHOP / "bundle", force=True),
        progress=progress,
    )
    return Product.open(Bundle.open(SHOP / "bundle", verify=()))


def read_films(source: Path) -> list[dict[str, Any]]:
    """Reads the corpus in the catalogue's fields: the director is the brand, the first genre the category."""
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        films = [json.loads(line) for line in lines]
    out = []
    for film in films:
        genres = [genre.title() for genre in film["genres"]]
        record = {
            "item_id": film["id"],
            "title": f"{film['title']} ({film['year']})" if film["year"] else film["title"],
            "brand": film["director"],
            "category": genres[0] if genres else None,
            "description": " ".join([*(f"{name}." for name in film["actors"][:LEADS]), film["overview"]]),
            "genres": genres,
            "year": film["year"],
            "votes": int(film["votes"] or 0),
        }
        out.append({name: value for name, value in record.items() if value not in (None, "", [])})
    return out


def taste_groups(films: list[dict[str, Any]]) -> dict[str, NDArray[np.int64]]:
    """Returns the rows of each genre and of each decade that has films enough."""
    groups: dict[str, list[int]] = {}
    for row, film in enumerate(films):
        decades = [f"{film['year'] // 10 * 10}s"] if film.get("year") else []
        for name in dict.fromkeys([*film.get("genres", []), *decades]):
            groups.setdefault(name, []).append(row)
    return {name: np.asarray(rows, np.int64) for name, rows in groups.items() if len(rows) >= LEAST_GROUP}


def judged_queries(data: Path, count: int = QUERIES) -> JudgedQueries:
    """Returns some of the judged queries, none of which any weight is tuned on."""
    return read_judged_queries(data / "movies-judgments.tsv.gz").part(tuned=False).first(count)


def figures(
    product: Product, judged: JudgedQueries, seed: int = SEED, on_progress: ProgressCallback = ignore_progress
) -> dict[str, float]:
    """Returns the figures of the queries, each asked by a user drawn at random."""
    users = np.random.default_rng(seed).choice(product.users, (len(judged.queries), 1)).tolist()
    asked_by = dict(zip(judged.queries, users, strict=True))
    return {f"films_{name}": value for name, value in personal_figures(product, judged, asked_by, on_progress).items()}
