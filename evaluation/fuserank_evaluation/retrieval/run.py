"""`make eval`: what share of the right items retrieval hands to the ranker, on three shops with known answers.

Groceries: what households of Complete Journey bought in the last 28 days, from what was known before. Films: human
judgements. A Chinese shop: written and judged by hand, see `chinese/README.md`.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

import ir_measures
import numpy as np
import pandas as pd
import typer
from ir_measures import R, nDCG
from numpy.typing import NDArray
from rich.console import Console
from tokenizers import Tokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.text import normalise, query_text
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.search import build_index
from fuserank_ensemble.spec import CHANNELS, GraphSpec
from fuserank_evaluation.datasets.cases import SEARCH_CASES, SEED, last_window, search_cases
from fuserank_evaluation.report import merge_report
from fuserank_export.embedding.embed import embed_texts
from fuserank_export.embedding.encoder_files import EncoderFiles
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.index.catalog import index_catalog
from fuserank_export.index.shop import Shop
from fuserank_export.learning.fusion import tune_weights
from fuserank_export.learning.interactions import learn
from fuserank_export.sources import read_catalog, read_interactions

TUNED_FILM_QUERIES = 1_000
CHINESE = Path(__file__).parent / "chinese"
FILM_TEMPLATE = "{title} ({year}) | {genres} | {leads} | {overview:.200}"
FILM_FIELDS = {
    "title": 3.0,
    **dict.fromkeys(("genres", "actors", "overview", "director", "characters", "tags", "year"), 1.0),
}

MEANINGS = {
    "grocery_cases": "(household, product type) pairs of the last 28 days; query: the type; relevant: what was bought",
    "grocery_recall_at_50_fused": "recall of the first 50 fused candidates",
    "grocery_recall_at_200_fused": "recall of the first 200",
    **{f"grocery_recall_at_{k}_{name}": f"the {name} channel's own, first {k}" for k in (50, 200) for name in CHANNELS},
    "grocery_recall_at_50_fused_no_user": "recall of the first 50 for the same queries from somebody unknown",
    "graph_unique_relevant": "relevant items among the graph channel's first 200 that no other channel has there",
    "grocery_relevant": "relevant items in all",
    "movies_queries": "queries that nothing was tuned on",
    "movies_ndcg_at_10_fused": "nDCG@10 of fusion; unjudged counts as not relevant",
    "movies_recall_at_100_fused": "recall@100 of fusion",
    **{
        f"movies_{m}_{name}": f"the {name} channel alone"
        for m in ("ndcg_at_10", "recall_at_100")
        for name in ("dense", "lexical")
    },
    "chinese_queries": "Chinese and mixed queries, judged by hand",
    "chinese_ndcg_at_10_fused": "nDCG@10 of fusion; the encoder is English, so words carry it",
    "chinese_recall_at_100_fused": "recall@100 of fusion",
    "chinese_ndcg_at_10_lexical": "nDCG@10 of the lexical channel alone",
    "chinese_recall_at_100_lexical": "recall@100 of the lexical channel alone",
    "chinese_without_result": "queries that the lexical channel finds nothing for",
}


@dataclass(frozen=True)
class Judged:
    """Queries with graded items.

    Attributes:
        queries: Text by query id.
        grades: Item id to grade, by query id; above 0 is relevant.
    """

    queries: Mapping[str, str]
    grades: Mapping[str, Mapping[str, int]]

    def part(self, tuned: bool) -> Judged:
        """The third of the queries that weights are tuned on, or the rest, by the hash of the query's text."""
        kept = {q: text for q, text in self.queries.items() if (crc32(text.encode()) % 3 == 0) == tuned}
        return Judged(kept, {q: self.grades[q] for q in kept})

    def first(self, count: int) -> Judged:
        """The first queries by their texts' hash."""
        kept = dict(sorted(self.queries.items(), key=lambda pair: crc32(pair[1].encode()))[:count])
        return Judged(kept, {q: self.grades[q] for q in kept})


class Evaluation:
    """Embeds with a bundle's encoder, whatever the shop."""

    def __init__(self, bundle: Bundle, console: Console) -> None:
        self.bundle, self.console = bundle, console
        self.spec = bundle.spec
        self._engine = bundle.repository / "encoder" / "1" / "model.onnx"
        self._tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
        self._encoder = OnnxEncoder(self._engine, self._tokenizer, self.spec.pad_token_id, 256)

    def embed(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """L2-normalised embeddings of queries, float32 `[queries, dim]`."""
        return self._encoder.embed([query_text(self.spec.query_template, query) for query in queries])

    def questions(self, texts: Sequence[str], seen: Sequence[History], now: float) -> list[ChannelQuery]:
        """Requests as the channels see them."""
        distinct = sorted(set(texts))
        vector = dict(zip(distinct, self.embed(distinct), strict=True))
        return [ChannelQuery(normalise(t), vector[t], s, now) for t, s in zip(texts, seen, strict=True)]

    def catalog(
        self, path: Path, template: str, fields: Mapping[str, float], folder: Path
    ) -> tuple[CatalogIndex, list[str]]:
        """Indexes a catalogue; returns it with the items' ids. Embedded texts are kept beside the reports."""
        catalog = read_catalog(path)
        indexed = index_catalog(catalog, template, typed=True)
        files = EncoderFiles.create(self._engine, self._tokenizer, self.spec.pad_token_id, 256)
        vectors, _ = embed_texts(files, indexed.texts, checkpoint=Path("build/eval"))
        np.save(folder / "vectors.npy", vectors)
        build_index(np.asarray(vectors), folder / "vectors.faiss")
        LexicalIndex.write(folder / "lexical", indexed.records, fields)
        return CatalogIndex.open(folder, indexed.items, "cpu"), [id_.decode() for id_ in indexed.items.ids]


def grocery(evaluation: Evaluation, shop_folder: Path) -> dict[str, float]:
    """Recall on Complete Journey; everything is learned from what lies before the last 28 days."""
    bundle = evaluation.bundle
    items, ids = bundle.items, [id_.decode() for id_ in bundle.items.ids]
    log = read_interactions(shop_folder / "interactions.parquet", ids)
    cut = last_window(log)
    records = [json.loads(bundle.records.raw(row)) for row in range(len(items))]
    shop = Shop(items, [record["title"] for record in records], np.full(len(items), np.nan))
    with tempfile.TemporaryDirectory() as folder, evaluation.console.status("groceries: learning from the log"):
        learned, _ = learn(Path(folder), log, shop, cut, SEED)
        retriever = Retriever(bundle.catalog("cpu"), learned, evaluation.spec)
    types = np.asarray([record.get("product_type") for record in records], object)
    cases = search_cases(log, types, cut, SEARCH_CASES, SEED)
    relevant = cases.relevant
    figures: dict[str, float] = {"grocery_cases": len(cases), "grocery_relevant": sum(map(len, relevant))}
    hits = dict.fromkeys([f"{k}_{name}" for k in (50, 200) for name in (*CHANNELS, "fused", "fused_no_user")], 0.0)
    unique = 0
    with evaluation.console.status("groceries: asking"):
        questions = evaluation.questions(cases.queries, cases.seen, cut)
        for start in range(0, len(questions), 16):
            part = questions[start : start + 16]
            lists, _ = retriever.lists(part, ["both"] * len(part), everything=True)
            fused = retriever.retrieve(part, [200] * len(part))
            cold = retriever.retrieve([replace(q, seen=History.empty()) for q in part], [200] * len(part))
            for i, answer in enumerate(relevant[start : start + 16]):
                rows = {name: each.rows for name, each in lists[i].items()}
                rows |= {"fused": fused[i].rows, "fused_no_user": cold[i].rows}
                for k in (50, 200):
                    for name, found in rows.items():
                        hits[f"{k}_{name}"] += np.isin(answer, found[:k]).mean() / len(questions)
                others = np.concatenate(
                    [found[:200] for name, found in rows.items() if name in CHANNELS and name != "graph"]
                )
                unique += int((np.isin(answer, rows["graph"][:200]) & ~np.isin(answer, others)).sum())
    figures |= {f"grocery_recall_at_{name}": round(value, 4) for name, value in hits.items()}
    figures["graph_unique_relevant"] = unique
    return figures


def movies(evaluation: Evaluation, data: Path, folder: Path) -> dict[str, float]:
    """NDCG and recall on the films' judgements; fusion's weights are tuned on a third of the queries."""
    judged = film_judgements(data / "movies-judgments.tsv.gz")
    path = folder / "films.jsonl"
    write_films(data / "movies-corpus.jsonl.gz", path)
    with evaluation.console.status("films: embedding"):
        catalog, ids = evaluation.catalog(path, FILM_TEMPLATE, FILM_FIELDS, folder)
    retriever = Retriever(catalog, InteractionIndex(Popularity.none(len(catalog.items))), evaluation.spec)
    tuned, held_out = judged.part(tuned=True).first(TUNED_FILM_QUERIES), judged.part(tuned=False)
    with evaluation.console.status("films: tuning and asking"):
        weights, before, after = tune_weights(
            retriever,
            _asked(evaluation, tuned),
            "query",
            evaluation.spec.channel_weights["query"],
            lambda found: _measured(tuned, ids, found)["ndcg_at_10"],
            seed=SEED,
        )
        evaluation.console.print(f"films: nDCG@10 on the tuning third {before:.4f} -> {after:.4f} with {weights}")
        figures = _by_list(retriever, evaluation, held_out, ids, weights)
    return {"movies_queries": len(held_out.queries)} | {f"movies_{name}": value for name, value in figures.items()}


def chinese(evaluation: Evaluation, folder: Path) -> dict[str, float]:
    """NDCG and recall on the Chinese shop, under the weights that a shop without a log has."""
    with evaluation.console.status("Chinese: embedding and asking"):
        catalog, ids = evaluation.catalog(
            CHINESE / "catalog.jsonl", GraphSpec.text_template, GraphSpec().lexical_fields, folder
        )
        retriever = Retriever(catalog, InteractionIndex(Popularity.none(len(catalog.items))), GraphSpec())
        judged = _trec(CHINESE)
        figures = _by_list(retriever, evaluation, judged, ids, GraphSpec().channel_weights["query"])
    return {"chinese_queries": len(judged.queries)} | {f"chinese_{name}": value for name, value in figures.items()}


def _by_list(
    retriever: Retriever, evaluation: Evaluation, judged: Judged, ids: Sequence[str], weights: Mapping[str, float]
) -> dict[str, float]:
    """The figures of fusion and of both text channels."""
    questions = _asked(evaluation, judged)
    lists, _ = retriever.lists(questions, ["query"] * len(questions), everything=True)
    found = {
        "fused": [retriever.fused(each, weights, 200).rows for each in lists],
        "dense": [each["dense"].rows for each in lists],
        "lexical": [each["lexical"].rows for each in lists],
    }
    figures: dict[str, float] = {
        f"{measure}_{name}": value
        for name, rows in found.items()
        for measure, value in _measured(judged, ids, rows).items()
    }
    return figures | {"without_result": sum(not len(rows) for rows in found["lexical"])}


def _asked(evaluation: Evaluation, judged: Judged) -> list[ChannelQuery]:
    texts = list(judged.queries.values())
    return evaluation.questions(texts, [History.empty()] * len(texts), 0.0)


def _measured(judged: Judged, ids: Sequence[str], found: Sequence[NDArray[np.int32]]) -> dict[str, float]:
    """nDCG@10 and recall@100 as TREC computes them."""
    run = {
        query: {ids[row]: float(-place) for place, row in enumerate(rows[:100])}
        for query, rows in zip(judged.queries, found, strict=True)
    }
    measured = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], judged.grades, run)
    return {"ndcg_at_10": round(measured[nDCG @ 10], 4), "recall_at_100": round(measured[R @ 100], 4)}


def film_judgements(path: Path) -> Judged:
    """The films' queries that have a relevant film, with all their grades."""
    frame = pd.read_csv(path, sep="\t", dtype={"doc_id": str})
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for query, item, grade in frame[["query_id", "doc_id", "grade"]].itertuples(index=False):
        grades[query][item] = int(grade)
    texts = frame.drop_duplicates("query_id").set_index("query_id")["query"].to_dict()
    answered = {query for query, items in grades.items() if any(items.values())}
    return Judged({q: str(t) for q, t in texts.items() if q in answered}, {q: grades[q] for q in answered})


def write_films(source: Path, path: Path) -> None:
    """The corpus in the catalogue's format; the first four actors stand in a field of their own."""
    with gzip.open(source, "rt", encoding="utf-8") as lines, path.open("w", encoding="utf-8") as out:
        for line in lines:
            film: dict[str, Any] = json.loads(line)
            film["item_id"] = film.pop("id")
            film["leads"] = film["actors"][:4]
            out.write(json.dumps(film, ensure_ascii=False) + "\n")


def _trec(folder: Path) -> Judged:
    """Queries and judgements in TREC's formats."""
    queries = dict(line.split("\t", 1) for line in (folder / "queries.tsv").read_text("utf-8").splitlines())
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "judgements.tsv").read_text("utf-8").splitlines():
        query, _, item, grade = line.split()
        grades[query][item] = int(grade)
    return Judged(queries, grades)


def main(
    bundle: Annotated[Path, typer.Option(help="The demo's bundle.")] = Path("build/demo"),
    shop: Annotated[Path, typer.Option(help="Complete Journey in the input formats.")] = Path("build/complete-journey"),
    films: Annotated[Path, typer.Option(help="The films' corpus and judgements.")] = Path(
        "../shared/data/elastic-movies-ltr"
    ),
) -> None:
    """Measures what retrieval finds, and writes build/reports/retrieval.json."""
    console = Console()
    evaluation = Evaluation(Bundle.open(bundle, verify=()), console)
    figures = grocery(evaluation, shop)
    with tempfile.TemporaryDirectory() as folder:
        figures |= chinese(evaluation, Path(folder))
    if films.exists():
        with tempfile.TemporaryDirectory() as folder:
            figures |= movies(evaluation, films, Path(folder))
    else:
        console.print(f"films: left out, {films} is not there")
    meanings = {name: meaning for name, meaning in MEANINGS.items() if name in figures}
    for name, meaning in meanings.items():
        console.print(f"{name:40} {figures[name]:>10,}  {meaning}", highlight=False)
    merge_report("retrieval", "eval", evaluation.bundle.id, figures, meanings, {})


if __name__ == "__main__":
    typer.run(main)
