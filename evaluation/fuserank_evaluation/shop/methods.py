"""What is compared: the served product, plain search over the same texts, recommenders, and LambdaMART."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.text import render
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.retrieval.lexical.words import has_han, words
from fuserank_evaluation.baselines.als import Als
from fuserank_evaluation.baselines.item_item import ItemItem
from fuserank_evaluation.baselines.lightgbm import LabelledLists, LightGbm
from fuserank_evaluation.baselines.plain_search import PlainSearch
from fuserank_evaluation.baselines.popularity import Popularity
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import NOBODY, SEED, RankingCases, Rows
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking.method import RankingMethod, ScoringMethod
from fuserank_evaluation.retrieval.candidates import LIST_DEPTH, CandidateFinder
from fuserank_export.builder.read import Behaviour
from fuserank_export.index.shop import Shop, bundle_records
from fuserank_export.learning.interactions import learn, popularity_before
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.split import split_cases
from fuserank_export.training.cases.training_query import KINDS

PRODUCT, TAKEN = "fuserank", "taken"
TEXT_METHODS = ("bm25", "dense", "rrf")
LABELS_READ = ("click", "relevance")  # what people took of a list; of judged queries what they called right
PATIENT_MS = 60_000  # of a request: what is measured is what it answers, not when


@dataclass(frozen=True)
class MethodName:
    """What a method is called on the page.

    Attributes:
        label: In sentences, tables and plots.
        meaning: What it does.
        colour: In every plot, readable on white and on black.
    """

    label: str
    meaning: str
    colour: str


METHODS: Mapping[str, MethodName] = {
    PRODUCT: MethodName("FuseRank", "the whole graph, as it is served", "#d9650d"),
    "bm25": MethodName("BM25", "over the items' texts", "#3b82c4"),
    "dense": MethodName("dense", "the encoder's nearest texts", "#8b6fd6"),
    "rrf": MethodName("BM25 + dense", "both, by reciprocal-rank fusion", "#0f9488"),
    "popularity": MethodName("popularity", "the most popular of what search finds", "#7c8593"),
    "item_item": MethodName("item-item", "items that the same users had", "#c8508f"),
    "als": MethodName("ALS", "matrix factorisation", "#5a9432"),
    "lightgbm": MethodName("LambdaMART", "LightGBM on what the ranker reads and learns from", "#a8820f"),
}


_BATCH = 16


@dataclass(frozen=True)
class Served:
    """A bundle's whole graph, asked as a caller asks it.

    Attributes:
        bundle: The bundle.
        graph: Its graph in this process.
        user_names: The log's users by row, as bundles name them.
        on_progress: Called as requests are answered.
        name: Its name in the report.
    """

    bundle: Bundle
    graph: LocalGraph
    user_names: list[str]
    on_progress: ProgressCallback
    name: str = PRODUCT

    def rank(self, cases: RankingCases) -> list[Rows]:
        """See `RankingMethod`; a set with `excluded` is asked for what is new to its users."""
        options = {
            "k": LIST_DEPTH,
            "fields": [],
            "deadline_ms": PATIENT_MS,
            "exclude_seen": cases.excluded is not None,
            **({"context": {"timestamp": cases.now}} if cases.now else {}),
        }
        users = ["" if user == NOBODY else self.user_names[user] for user in cases.users]
        ranked: list[Rows] = []
        for start in range(0, len(cases), _BATCH):
            batch = slice(start, start + _BATCH)
            requests = [(query, user, options) for query, user in zip(cases.queries[batch], users[batch], strict=True)]
            reply = dict(self.graph.trace(requests))["search"]["ITEM_ID"]
            ranked += [np.asarray([self.bundle.items.row(i.decode()) for i in row if i], np.int32) for row in reply]
            self.on_progress(f"asking {cases.name}", len(ranked), len(cases))
        return ranked


@dataclass(frozen=True)
class PlainLists:
    """BM25, the encoder's cosine and their reciprocal-rank fusion, over the texts that the bundle embedded.

    Attributes:
        search: Plain search over the shop's texts.
        encoder: Embeds queries.
    """

    search: PlainSearch
    encoder: BundleEncoder
    _lists: dict[str, list[Mapping[str, Rows]]] = field(default_factory=dict)

    @classmethod
    def open(cls, bundle: Bundle, encoder: BundleEncoder) -> PlainLists:
        """Indexes the catalogue; Chinese texts are cut into words, which BM25 cannot find by itself."""
        texts = [_cut(render(bundle.spec.text_template, record)) for record in bundle_records(bundle)]
        return cls(PlainSearch(texts, bundle.vectors, bundle.items.text), encoder)

    def of(self, cases: RankingCases) -> list[Mapping[str, Rows]]:
        """The lists of each case by method; computed once for each set."""
        if cases.name not in self._lists:
            vectors = self.encoder.embed(cases.queries)
            self._lists[cases.name] = [
                self.search.search(_cut(query), vector) for query, vector in zip(cases.queries, vectors, strict=True)
            ]
        return self._lists[cases.name]


@dataclass(frozen=True)
class PlainMethod:
    """One of the lists of plain search.

    Attributes:
        name: `bm25`, `dense` or `rrf`.
        lists: All three.
    """

    name: str
    lists: PlainLists

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """See `RankingMethod`; None for recommendations, which have no text to search for."""
        return [lists[self.name] for lists in self.lists.of(cases)] if cases.is_search else None


def candidate_finder(bundle: Bundle, encoder: BundleEncoder, on_progress: ProgressCallback) -> CandidateFinder:
    """Finds what the bundle's retrieval finds."""
    return CandidateFinder(_case_builder(bundle, encoder), bundle.learned("cpu"), on_progress=on_progress)


def text_methods(lists: PlainLists) -> list[RankingMethod]:
    """The methods that need no log."""
    return [PlainMethod(name, lists) for name in TEXT_METHODS]


def log_methods(finder: CandidateFinder, past: PastLog) -> list[RankingMethod]:
    """Recommenders, fitted on the events before the window; they order what retrieval finds for a search."""
    methods: list[RankingMethod] = []
    for baseline in (Popularity(), ItemItem(), Als(SEED)):
        baseline.fit(past)
        methods.append(ScoringMethod(baseline, past, finder.fused_rows))
    return methods


def boosted_trees(
    bundle: Bundle,
    encoder: BundleEncoder,
    finder: CandidateFinder,
    known: Behaviour,
    cases: int,
    on_progress: ProgressCallback,
) -> LightGbm | None:
    """LambdaMART on the ranker's features, log and judged queries; None where there is neither to learn from.

    Args:
        bundle: The bundle that is measured.
        encoder: Embeds queries.
        finder: Finds and describes the candidates that are ranked.
        known: What the bundle's ranker was trained on.
        cases: How many (user, query) pairs to draw from each of the training's windows.
        on_progress: Called as steps go on.
    """
    shop, log = Shop.of_bundle(bundle), known.log
    earliest: list[InteractionIndex] = []
    with tempfile.TemporaryDirectory() as folder:

        def index_before(moment: float) -> InteractionIndex:
            if not earliest:
                earliest.append(learn(Path(folder), log, shop, moment, SEED)[0])
            return replace(earliest[0], popularity=popularity_before(log, shop, moment))

        split = split_cases(
            log,
            shop,
            _case_builder(bundle, encoder),
            index_before,
            judged=known.judged,
            count=cases,
            seed=SEED,
            advanced=on_progress,
        )
    if split.source == "catalog":
        return None
    boosted = LightGbm(finder, bundle.spec.candidates, SEED)
    for kind in KINDS:
        train, held_out = (LabelledLists.from_cases(part, kind, LABELS_READ) for part in (split.train, split.held_out))
        boosted.fit(kind, train, held_out)
    return boosted


def _case_builder(bundle: Bundle, encoder: BundleEncoder) -> CaseBuilder:
    catalog: CatalogIndex = bundle.catalog("cpu")
    return CaseBuilder(catalog, bundle.spec, encoder.embed_served, bundle.query_parser.parse)


def _cut(text: str) -> str:
    """A text as its words where it has Chinese in it, else as it is."""
    return " ".join(word.written for word in words(text)) if has_han(text) else text
