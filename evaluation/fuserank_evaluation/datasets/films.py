"""A shop of films: its index, what the text tower reads of each, and queries that people judged."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.text import normalise, render
from fuserank_ensemble.retrieval.index import CatalogIndex
from fuserank_evaluation.retrieval.run import (
    FILM_FIELDS,
    FILM_TEMPLATE,
    Evaluation,
    Judged,
    film_judgements,
    write_films,
)
from fuserank_export.training.text.pairs import LabelledQuery

TOWER_TEMPLATE = "{title} ({year}) | {genres} | {leads} | {roles} | {overview:.80}"
ROLES = 3
NUMBERS = ("votes", "popularity", "rating", "year")  # of the catalogue


@dataclass(frozen=True)
class Films:
    """The films' shop.

    Attributes:
        catalog: The index.
        ids: Item id by row.
        texts: What the tower reads of each item, by row.
        numbers: The catalogue's numbers, NaN where missing, float32 `[items, numbers]`.
        judged: Queries and grades.
    """

    catalog: CatalogIndex
    ids: list[str]
    texts: list[str]
    numbers: NDArray[np.float32]
    judged: Judged

    @classmethod
    def open(cls, evaluation: Evaluation, data: Path, folder: Path) -> Films:
        """Reads and indexes them in a passing folder."""
        path = folder / "films.jsonl"
        write_films(data / "movies-corpus.jsonl.gz", path)
        catalog, ids = evaluation.catalog(path, FILM_TEMPLATE, FILM_FIELDS, folder)
        records = {film["item_id"]: film for film in map(json.loads, path.read_text("utf-8").splitlines())}
        for film in records.values():
            film["roles"] = [re.sub(r" \((voice|uncredited)\)", "", name) for name in film["characters"][:ROLES]]
        texts = [render(TOWER_TEMPLATE, records[id_]) for id_ in ids]
        numbers = [catalog.items.columns.by_name[name].values for name in NUMBERS]
        judged = film_judgements(data / "movies-judgments.tsv.gz")
        return cls(catalog, ids, texts, np.stack(numbers, 1).astype(np.float32), judged)

    def labelled(self) -> list[LabelledQuery]:
        """The queries in the order of their ids, by the id: a film that the corpus lacks is right or wrong nowhere."""
        row = {id_: i for i, id_ in enumerate(self.ids)}

        def rows(query: str, right: bool) -> NDArray[np.int32]:
            grades = self.judged.grades[query]
            return np.asarray(sorted(row[i] for i, g in grades.items() if (g > 0) == right and i in row), np.int32)

        return [LabelledQuery(query, rows(query, True), rows(query, False)) for query in sorted(self.judged.queries)]


def unlike_training(held_out: Sequence[str], training: Sequence[str]) -> NDArray[np.bool_]:
    """Which held-out queries share no more than half of their words (Jaccard) with any training query."""
    known = [frozenset(normalise(text).lower().split()) for text in training]
    having: dict[str, list[int]] = defaultdict(list)
    for i, words in enumerate(known):
        for word in words:
            having[word].append(i)
    unlike = np.ones(len(held_out), np.bool_)
    for i, text in enumerate(held_out):
        words = frozenset(normalise(text).lower().split())
        shared: dict[int, int] = defaultdict(int)
        for word in words:
            for other in having.get(word, ()):
                shared[other] += 1
        unlike[i] = all(2 * count <= len(words | known[other]) for other, count in shared.items())
    return unlike
