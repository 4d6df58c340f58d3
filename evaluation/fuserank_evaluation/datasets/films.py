"""A shop of films with queries that people judged, and what a text tower reads of each film."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from fuserank_ensemble.catalog.text import normalise, render
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.judged import JudgedQueries, JudgedShop
from fuserank_export.training.text.data.labels import LabelledQuery

TEXT_TEMPLATE = "{title} ({year}) | {genres} | {leads} | {overview:.200}"
LEXICAL_FIELDS = {
    "title": 3.0,
    **dict.fromkeys(("genres", "actors", "overview", "director", "characters", "tags", "year"), 1.0),
}
TOWER_TEMPLATE = "{title} ({year}) | {genres} | {leads} | {roles} | {overview:.80}"
LEADS, ROLES = 4, 3  # first actors, and first characters, that stand in a text
NUMBERS = ("votes", "popularity", "rating", "year")  # numeric columns of the catalogue


@dataclass(frozen=True)
class FilmShop(JudgedShop):
    """The films, their queries and judgements.

    Attributes:
        tower_texts: What a text tower reads of each item, by row.
        numbers: The catalogue's numbers, NaN where missing, float32 `[items, numbers]`.
    """

    tower_texts: list[str]
    numbers: NDArray[np.float32]

    @classmethod
    def open(cls, encoder: BundleEncoder, data: Path, folder: Path) -> FilmShop:
        """Reads corpus and judgements in `data`, and writes the index into `folder`."""
        path = folder / "films.jsonl"
        write_catalog(data / "movies-corpus.jsonl.gz", path)
        catalog, ids = encoder.index_catalog(path, TEXT_TEMPLATE, LEXICAL_FIELDS, folder)
        films = {film["item_id"]: film for film in map(json.loads, path.read_text("utf-8").splitlines())}
        for film in films.values():
            film["roles"] = [re.sub(r" \((voice|uncredited)\)", "", name) for name in film["characters"][:ROLES]]
        texts = [render(TOWER_TEMPLATE, films[id_]) for id_ in ids]
        numbers = [catalog.items.columns.by_name[name].values for name in NUMBERS]
        judged = read_judged_queries(data / "movies-judgments.tsv.gz")
        return cls(catalog, ids, judged, texts, np.stack(numbers, 1).astype(np.float32))

    def labelled_queries(self) -> list[LabelledQuery]:
        """The queries by id, sorted, as training takes them; films that the corpus lacks are left out of the labels."""
        row = {id_: i for i, id_ in enumerate(self.ids)}

        def labelled_rows(query: str, relevant: bool) -> NDArray[np.int32]:
            grades = self.judged.grades[query]
            rows = sorted(row[id_] for id_, grade in grades.items() if (grade > 0) == relevant and id_ in row)
            return np.asarray(rows, np.int32)

        return [
            LabelledQuery(query, labelled_rows(query, True), labelled_rows(query, False))
            for query in sorted(self.judged.queries)
        ]


def read_judged_queries(path: Path) -> JudgedQueries:
    """Reads the queries that have a relevant film, with all their grades."""
    frame = pd.read_csv(path, sep="\t", dtype={"doc_id": str})
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for query, item, grade in frame[["query_id", "doc_id", "grade"]].itertuples(index=False):
        grades[query][item] = int(grade)
    texts = frame.drop_duplicates("query_id").set_index("query_id")["query"].to_dict()
    answered = {query for query, graded in grades.items() if any(graded.values())}
    return JudgedQueries(
        {query: str(text) for query, text in texts.items() if query in answered},
        {query: grades[query] for query in answered},
    )


def write_catalog(source: Path, path: Path) -> None:
    """Writes the corpus in the catalogue's format; the first actors get a field of their own, `leads`."""
    with gzip.open(source, "rt", encoding="utf-8") as lines, path.open("w", encoding="utf-8") as out:
        for line in lines:
            film: dict[str, Any] = json.loads(line)
            film["item_id"] = film.pop("id")
            film["leads"] = film["actors"][:LEADS]
            out.write(json.dumps(film, ensure_ascii=False) + "\n")


def unlike_training(held_out: Sequence[str], training: Sequence[str]) -> NDArray[np.bool_]:
    """Which held-out queries share at most half of their words (Jaccard) with every training query, `[held_out]`."""
    vectorizer = CountVectorizer(analyzer=lambda text: normalise(text).lower().split(), binary=True)
    words = vectorizer.fit_transform([*held_out, *training]).tocsr()
    sizes = np.asarray(words.sum(1)).ravel()
    shared = (words[: len(held_out)] @ words[len(held_out) :].T).tocoo()
    unions = sizes[shared.row] + sizes[len(held_out) + shared.col] - shared.data
    unlike = np.ones(len(held_out), np.bool_)
    unlike[shared.row[2 * shared.data > unions]] = False
    return unlike
