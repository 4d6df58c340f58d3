"""Real queries of Amazon's shoppers with human judgements (ESCI), see `../shared/data/esci-us/SOURCE.txt`."""

from __future__ import annotations

import gzip
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

GAINS = {0: 0, 1: 1, 2: 10, 3: 100}  # by grade, in hundredths: of the data set's paper (Reddy et al., 2022)
EXACT = 3
_RULED_OUT = re.compile(r"\b(?:without|not|no)\s+(?:an?\s+|the\s+)?([a-z]+)", re.IGNORECASE)


@dataclass(frozen=True)
class EsciQueries:
    """The queries, in the order of their ids.

    Attributes:
        ids: Query ids.
        texts: Texts of the queries.
        grades: Grade (3 exact, 2 substitute, 1 complement, 0 irrelevant) by item id, by query id.
    """

    ids: list[str]
    texts: list[str]
    grades: dict[str, dict[str, int]]

    @classmethod
    def read(cls, folder: Path) -> EsciQueries:
        """Reads queries and judgements."""
        queries = pd.read_csv(folder / "queries.tsv", sep="\t", names=["id", "text"], dtype=str, quoting=3)
        judged = pd.read_csv(folder / "judgements.tsv", sep=" ", names=["query", "zero", "item", "grade"])
        grades: dict[str, dict[str, int]] = {query: {} for query in queries["id"]}
        for query, item, grade in judged[["query", "item", "grade"]].itertuples(index=False):
            grades[query][item] = int(grade)
        return cls(queries["id"].tolist(), queries["text"].tolist(), grades)


def unpack_catalog(folder: Path, path: Path) -> None:
    """Writes the catalogue as the export reads it."""
    with gzip.open(folder / "catalog.jsonl.gz", "rb") as packed, path.open("wb") as out:
        shutil.copyfileobj(packed, out)


def ruled_out(query: str) -> list[str]:
    """Returns the words that a query says it does not want: of "binder without rings" it is `["rings"]`."""
    return [word.lower() for word in _RULED_OUT.findall(query)]


def holds_ruled_out(title: str, word: str) -> bool:
    """Whether a title says that an item has it; a title that rules it out itself does not."""
    stem = re.escape(re.sub(r"(?:es|s)$", "", word))
    without = rf"\b(?:without|not|non|no)[\s-]+(?:an?\s+)?{stem}\w*|\b{stem}\w*[\s-](?:free|less)\b"
    return re.search(rf"\b{stem}(?:es|s)?\b", re.sub(without, " ", title.lower())) is not None
