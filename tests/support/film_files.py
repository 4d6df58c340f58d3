"""Files of a small shop of films, in the format of the films' corpus and judgements."""

from __future__ import annotations

import gzip
import json

import numpy as np

FILMS, QUERIES = 90, 60
WORDS = ("milk", "cheese", "yogurt", "butter", "soap", "towels", "spread", "cream", "drink", "bulb")


def write_film_files(folder):
    """Writes films titled by two words and queries of two words, answered by the film that has both.

    Query q00 has another relevant film that the corpus lacks.
    """
    draw = np.random.default_rng(5)
    with gzip.open(folder / "movies-corpus.jsonl.gz", "wt", encoding="utf-8") as out:
        for number in range(FILMS):
            film = {
                "id": str(number), "title": f"{WORDS[number % 10]} {WORDS[number // 10]}", "year": 1990 + number % 30,
                "genres": ["Drama"], "actors": ["whole"], "characters": ["plain (voice)"], "overview": "acme zenith",
                "director": "fresh", "tags": [], "votes": number, "popularity": 1.5, "rating": 5.0,
            }  # fmt: skip
            out.write(json.dumps(film) + "\n")
    with gzip.open(folder / "movies-judgments.tsv.gz", "wt", encoding="utf-8") as out:
        out.write("query_id\tquery\tdoc_id\tgrade\n")
        for number in range(QUERIES):
            answer = int(draw.integers(FILMS))
            query = f"{WORDS[answer // 10]} {WORDS[answer % 10]}"
            rows = {str(answer): 1, str((answer + 1) % FILMS): 0, "gone": int(number == 0)}
            for item, grade in rows.items():
                out.write(f"q{number:02}\t{query}\t{item}\t{grade}\n")
