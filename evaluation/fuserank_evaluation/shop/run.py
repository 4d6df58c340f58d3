"""`fuserank evaluate --catalog …`: exports the shop as it was before each window, asks all methods, writes the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import RankingCases
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.datasets.past import PastLog
from fuserank_evaluation.progress import ProgressCallback
from fuserank_evaluation.ranking.method import RankingMethod
from fuserank_evaluation.shop.advice import Facts, Outcome, advise, verdicts
from fuserank_evaluation.shop.exposure import Exposure, exposures
from fuserank_evaluation.shop.health import examine
from fuserank_evaluation.shop.inputs import ShopData
from fuserank_evaluation.shop.methods import (
    PRODUCT,
    PlainLists,
    Served,
    boosted_trees,
    bundle_records,
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
from fuserank_evaluation.shop.segments import Segment, segments
from fuserank_evaluation.shop.worst import lost_shares, worst_requests
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions, RankerOptions
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


def evaluate_shop(evaluation: ShopEvaluation, progress: Progress) -> Page:
    """Evaluates a shop, writes its page and its figures, and returns the page.

    Raises:
        InputError: Where a file cannot be used.
        EncoderError: Where the encoder cannot be exported.
    """
    evaluation.out.mkdir(parents=True, exist_ok=True)
    held = HeldLog.nothing(evaluation.out / LATEST)
    data = ShopData.read(evaluation.files, evaluation.out, held.key, progress)
    sets: dict[str, RequestSet] = {}
    windows, names = data.windows(evaluation.windows), [held.key.user_name(user) for user in data.log.user_ids]
    latest: Bundle | None = None
    popularity = np.zeros(len(data.catalog), np.float32)
    for number, (cut, end) in enumerate(windows):
        bundle = _export(evaluation, data, held, cut, number, progress)
        with progress.steps() as on_progress:
            _ask_window(evaluation, data, bundle, sets, (number, cut, end), names, on_progress)
        if latest is None:
            latest, popularity = bundle, PastLog.before(data.log, cut, len(data.catalog)).popularity
    bundle = latest or _export(evaluation, data, held, None, 0, progress)
    with progress.steps() as on_progress:
        _ask_without_log(evaluation, data, bundle, sets, popular_head(popularity), on_progress)
    return _write(evaluation, data, bundle, sets, popularity, windows)


def _export(
    evaluation: ShopEvaluation, data: ShopData, held: HeldLog, moment: float | None, number: int, progress: Progress
) -> Bundle:
    """Exports the shop as it was at a moment; None is a shop without a log."""
    out = evaluation.out / f"bundle-{number}"
    export_bundle(
        inputs=data.files_before(moment, evaluation.out),
        encoder=evaluation.encoder,
        ranker=evaluation.ranker,
        out=OutputOptions(folder=out, force=True, vector_cache=evaluation.out / "vectors"),
        progress=progress,
        held=held,
    )
    return Bundle.open(out, verify=())


def _ask_window(
    evaluation: ShopEvaluation,
    data: ShopData,
    bundle: Bundle,
    sets: dict[str, RequestSet],
    window: tuple[int, float, float],
    user_names: list[str],
    on_progress: ProgressCallback,
) -> None:
    """Asks all methods the requests of one window: its number, start and end; users as bundles name them."""
    number, cut, end = window
    log, encoder = data.log.as_of(end), BundleEncoder(bundle)
    past = PastLog.before(log, cut, len(bundle.items))
    finder = candidate_finder(bundle, encoder, on_progress)
    methods: list[RankingMethod] = [
        Served(bundle, LocalGraph(bundle), user_names, on_progress),
        *text_methods(PlainLists.open(bundle, encoder, bundle_records(bundle))),
        *log_methods(finder, past),
    ]
    if evaluation.with_boosted_trees:
        known = log.as_of(cut)
        boosted = boosted_trees(bundle, encoder, finder, known, evaluation.ranker.effort.cases, on_progress)
        methods += [boosted] if boosted else []
    head = popular_head(past.popularity)
    for cases in log_cases(log, bundle.items, cut, evaluation.cases):
        requests = sets.setdefault(cases.name, RequestSet(cases.name))
        requests.add(cases, methods, finder.fused_rows(cases), window=number, head=head)


def _ask_without_log(
    evaluation: ShopEvaluation,
    data: ShopData,
    bundle: Bundle,
    sets: dict[str, RequestSet],
    head: NDArray[np.bool_],
    on_progress: ProgressCallback,
) -> None:
    """Asks what needs no log: the judged queries, and made-up ones where there is no search yet."""
    asked: list[tuple[RankingCases, JudgedQueries | None]] = []
    if data.asked:
        asked.append((judged_cases(data.asked), data.asked))
    if not asked and not any(requests.is_search for requests in sets.values()):
        titles = [str(title) for title in data.catalog["title"]]
        made_up = made_up_cases(bundle.items, titles, evaluation.cases)
        asked += [(made_up, None)] if len(made_up) else []
    if not asked:
        return
    encoder = BundleEncoder(bundle)
    finder = candidate_finder(bundle, encoder, on_progress)
    methods: list[RankingMethod] = [
        Served(bundle, LocalGraph(bundle), [], on_progress),
        *text_methods(PlainLists.open(bundle, encoder, bundle_records(bundle))),
    ]
    for cases, grades_of_cases in asked:
        requests = sets.setdefault(cases.name, RequestSet(cases.name))
        requests.add(cases, methods, finder.fused_rows(cases), window=0, head=head, judged=grades_of_cases)


def _write(
    evaluation: ShopEvaluation,
    data: ShopData,
    bundle: Bundle,
    sets: Mapping[str, RequestSet],
    popularity: NDArray[np.float32],
    windows: list[tuple[float, float]],
) -> Page:
    """Sums up, and writes the page and the figures."""
    ordered = {name: sets[name] for name in SETS if name in sets}
    parts: list[Segment] = [segment for one in ordered.values() for segment in segments(one, bundle.items)]
    shown: list[Exposure] = [
        exposure for name, one in ordered.items() if name != "made_up" for exposure in exposures(one, popularity)
    ]
    facts = Facts(
        outcomes={name: outcome(one) for name, one in ordered.items()},
        segments=parts,
        exposures=shown if popularity.any() else [],
        health=examine(data.catalog, _events_by_item(data)),
        events=len(data.log),
        has_queries=data.log.has_queries,
        judged=len(data.judged.queries) if data.judged else 0,
        unread_scripts=tuple(bundle.spec.unread_scripts),
        unranked=_unranked_note(bundle),
    )
    titles = [str(title) for title in data.catalog["title"]]
    searches = [one for one in ordered.values() if one.is_search]
    page = Page(
        path=evaluation.out / PAGE,
        bundle=bundle.id,
        folder=str(evaluation.out),
        windows=windows,
        sets=ordered,
        facts=facts,
        verdicts=verdicts(facts),
        advice=advise(facts),
        worst={one.name: worst_requests(one, titles) for one in searches},
        quality=evaluation.ranker.quality,
        users=len(data.log.user_ids),
    )
    write_page(page)
    figures = {
        "bundle": bundle.id,
        "outcomes": {name: asdict(one) for name, one in facts.outcomes.items()},
        "means": {name: {method: one.mean(method) for method in one.values} for name, one in ordered.items()},
        "segments": [asdict(part) for part in parts],
        "exposures": [asdict(one) for one in facts.exposures],
        "health": asdict(facts.health),
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
