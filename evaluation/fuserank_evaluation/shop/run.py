"""`fuserank evaluate --catalog …`: exports the shop as it was before each window, asks all methods, writes the page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import RankingCases
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking.method import RankingMethod
from fuserank_evaluation.retrieval.candidates import CandidateFinder
from fuserank_evaluation.shop.advice import Facts, Outcome, advise, verdicts
from fuserank_evaluation.shop.exposure import exposures
from fuserank_evaluation.shop.health import examine
from fuserank_evaluation.shop.inputs import FileRows, ShopData
from fuserank_evaluation.shop.methods import (
    PRODUCT,
    PlainLists,
    Served,
    boosted_trees,
    candidate_finder,
    log_methods,
    text_methods,
)
from fuserank_evaluation.shop.page import Page, write_page
from fuserank_evaluation.shop.requests import (
    SETS,
    RequestSet,
    judged_cases,
    log_cases,
    made_up_cases,
    popular_head,
)
from fuserank_evaluation.shop.segments import segments
from fuserank_evaluation.shop.worst import lost_shares, worst_requests
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions, RankerOptions
from fuserank_export.builder.read import Behaviour
from fuserank_export.progress import Progress

PAGE, FIGURES = "index.html", "figures.json"
LATEST = "bundle-0"  # of the latest window, beside which the key of users is kept


@dataclass(frozen=True, kw_only=True)
class ShopEvaluation:
    """What is evaluated, and how.

    Attributes:
        files: The shop's files.
        encoder: The encoder of its bundles.
        out: Folder of the page, the figures and the windows' bundles.
        ranker: How the bundles' rankers are trained.
        windows: How many windows of time, from the log's end backwards.
        cases: How many requests of each kind in each window at most.
        with_boosted_trees: Whether LambdaMART is trained, too.
    """

    files: InputFiles
    encoder: EncoderOptions
    out: Path
    ranker: RankerOptions
    windows: int = 2
    cases: int = 400
    with_boosted_trees: bool = True


@dataclass(frozen=True)
class Asked:
    """Requests, and the grades of their queries where people judged these."""

    cases: RankingCases
    judged: JudgedQueries | None = None


@dataclass(frozen=True)
class Contestants:
    """A bundle, and all methods that are asked the same as it.

    Attributes:
        bundle: The bundle.
        finder: Finds what its retrieval finds.
        methods: The bundle's whole graph, and the others.
        popularity: Events by item before its moment, float32 `[items]`.
    """

    bundle: Bundle
    finder: CandidateFinder
    methods: list[RankingMethod]
    popularity: NDArray[np.float32]

    @classmethod
    def prepare(
        cls,
        evaluation: ShopEvaluation,
        bundle: Bundle,
        known: Behaviour,
        names: list[str],
        on_progress: ProgressCallback,
    ) -> Contestants:
        """Fits the other methods to what the bundle was made from.

        Args:
            evaluation: What is evaluated.
            bundle: The bundle.
            known: What its ranker was trained on.
            names: The log's users by row, as the bundle names them.
            on_progress: Called as steps go on.
        """
        encoder, past = BundleEncoder(bundle), PastLog.before(known.log, math.inf, len(bundle.items))
        finder = candidate_finder(bundle, encoder, on_progress)
        methods: list[RankingMethod] = [
            Served(bundle, LocalGraph(bundle), names, on_progress),
            *text_methods(PlainLists.open(bundle, encoder)),
            *(log_methods(finder, past) if len(known.log) else []),
        ]
        if evaluation.with_boosted_trees:
            cases = evaluation.ranker.effort.cases
            boosted = boosted_trees(bundle, encoder, finder, known, cases, on_progress)
            methods += [boosted] if boosted else []
        return cls(bundle, finder, methods, past.popularity)

    def answer(self, sets: dict[str, RequestSet], asked: Asked, window: int) -> None:
        """Asks all methods a set's requests of one window, and adds their answers."""
        requests = sets.setdefault(asked.cases.name, RequestSet(asked.cases.name))
        retrieved, head = self.finder.fused_rows(asked.cases), popular_head(self.popularity)
        requests.add(asked.cases, self.methods, retrieved, window=window, head=head, judged=asked.judged)


def evaluate_shop(evaluation: ShopEvaluation, progress: Progress) -> Page:
    """Evaluates a shop, writes its page and its figures, and returns the page.

    Raises:
        InputError: Where a file cannot be used.
        EncoderError: Where the encoder cannot be exported.
    """
    evaluation.out.mkdir(parents=True, exist_ok=True)
    held = HeldLog.nothing(evaluation.out / LATEST)
    data = ShopData.read(evaluation.files, evaluation.out, held.key, progress)
    names = [held.key.user_name(user) for user in data.log.user_ids]
    sets: dict[str, RequestSet] = {}
    windows = data.windows(evaluation.windows)
    contestants: list[Contestants] = []
    for number, window in enumerate(windows or [None]):
        known = data.files_before(window and window[0], evaluation.out)
        bundle = _export(evaluation, known, held, evaluation.out / f"bundle-{number}", progress)
        behaviour = data.behaviour_before(window and window[0], known, progress)
        with progress.steps() as on_progress:
            contestants.append(Contestants.prepare(evaluation, bundle, behaviour, names, on_progress))
            for asked in _asked(data, bundle.items, window, evaluation.cases, number == 0):
                contestants[-1].answer(sets, asked, number)
        if number:  # only the latest bundle is looked at again
            contestants.pop()
    return _write(evaluation, data, contestants[0], sets, windows)


def _export(evaluation: ShopEvaluation, known: InputFiles, held: HeldLog, folder: Path, progress: Progress) -> Bundle:
    export_bundle(
        inputs=known,
        encoder=evaluation.encoder,
        ranker=evaluation.ranker,
        out=OutputOptions(folder=folder, force=True, vector_cache=evaluation.out / "vectors"),
        progress=progress,
        held=held,
    )
    return Bundle.open(folder, verify=())


def _asked(data: ShopData, items: Items, window: tuple[float, float] | None, count: int, latest: bool) -> list[Asked]:
    """What is asked in a window: of the log, and once, in the latest, what needs no log.

    That is the judged queries, and where nothing else asks a search, made-up ones.
    """
    asked: list[Asked] = []
    if window is not None:
        cut, end = window
        asked += [Asked(cases) for cases in log_cases(data.log.as_of(end), items, cut, count)]
    if latest and data.asked:
        asked.append(Asked(judged_cases(data.asked), data.asked))
    if latest and not any(one.cases.is_search for one in asked):
        made_up = made_up_cases(items, [str(title) for title in data.catalog["title"]], count)
        asked += [Asked(made_up)] if len(made_up) else []
    return asked


def _write(
    evaluation: ShopEvaluation,
    data: ShopData,
    latest: Contestants,
    sets: Mapping[str, RequestSet],
    windows: list[tuple[float, float]],
) -> Page:
    """Sums up, and writes the page and the figures."""
    bundle, popularity = latest.bundle, latest.popularity
    ordered = {name: sets[name] for name in SETS if name in sets}
    facts = Facts(
        outcomes={name: outcome(one) for name, one in ordered.items()},
        segments=[segment for one in ordered.values() for segment in segments(one, bundle.items)],
        exposures=[
            exposure
            for one in ordered.values()
            if one.name != "made_up" and popularity.any()
            for exposure in exposures(one, popularity)
        ],
        health=examine(data.catalog, _events_by_item(data)),
        log=data.measured_log(len(windows), evaluation.windows),
        files=[FileRows.of(report) for report in data.reports],
        has_queries=data.log.has_queries,
        judged=len(data.judged.queries) if data.judged else 0,
        taught=len(data.taught.queries) if data.taught else 0,
        unread_scripts=tuple(bundle.spec.unread_scripts),
        unranked=_unranked_note(bundle),
        quality=evaluation.ranker.quality,
    )
    titles = [str(title) for title in data.catalog["title"]]
    page = Page(
        path=evaluation.out / PAGE,
        bundle=bundle.id,
        folder=str(evaluation.out),
        windows=windows,
        sets=ordered,
        facts=facts,
        verdicts=verdicts(facts),
        advice=advise(facts),
        worst={one.name: worst_requests(one, titles) for one in ordered.values() if one.is_search},
        users=len(data.log.user_ids),
    )
    write_page(page)
    figures = {
        "bundle": bundle.id,
        "outcomes": {name: asdict(one) for name, one in facts.outcomes.items()},
        "means": {name: {method: one.mean(method) for method in one.values} for name, one in ordered.items()},
        "segments": [asdict(part) for part in facts.segments],
        "exposures": [asdict(one) for one in facts.exposures],
        "health": asdict(facts.health),
        "log": asdict(facts.log),
        "files": [asdict(one) for one in facts.files],
        "verdicts": page.verdicts,
        "advice": page.advice,
    }
    (evaluation.out / FIGURES).write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return page


def outcome(requests: RequestSet) -> Outcome:
    """How the product does on a set beside the best other method."""
    baseline = requests.best_baseline
    ours = requests.mean(PRODUCT)
    lost = lost_shares(requests) if requests.is_search else {}
    if baseline is None:
        return Outcome(len(requests), ours, "", 0.0, None, lost)
    return Outcome(len(requests), ours, baseline, requests.mean(baseline), requests.against(baseline), lost)


def _events_by_item(data: ShopData) -> NDArray[np.float32] | None:
    """Events of the whole log by item, float32 `[items]`; None without a log."""
    return np.bincount(data.log.item, minlength=len(data.catalog)).astype(np.float32) if len(data.log) else None


def _unranked_note(bundle: Bundle) -> str:
    """The export's own words on the kinds of request that the ranker does not order; empty where there are none."""
    _, found, reasons = str(bundle.manifest["ranker"]["note"]).partition("the order of fusion stands for ")
    return reasons if found else ""
