"""The next bundle's ranker: it goes on from the last one's, on what people did since.

The last bundle knows nothing of that, so its channels describe the candidates as they did when people asked, and
nothing has to be learned anew.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import RANKER_WEIGHTS, Bundle
from fuserank_export.builder.retrain import open_query_encoder
from fuserank_export.index.shop import Shop
from fuserank_export.progress import Progress
from fuserank_export.refresh.log_part import LogPart
from fuserank_export.refresh.sampled import sampled_cases
from fuserank_export.repository.model_config import ENGINE_FILES
from fuserank_export.sources import Interactions
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.synthetic import SyntheticQueries
from fuserank_export.training.cases.window import window_queries
from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.validation import ndcg_by_case
from fuserank_export.training.model.position import PositionBias
from fuserank_export.training.model.ranker import Ranker
from fuserank_export.training.model.weights import open_ranker

LEARNED_SHARE = 0.8  # of the new events; the later ones are measured on
LEAST_NEW = 0.02  # of the last bundle's events: fewer teach a ranker nothing, and a refresh of them is to be cheap
LEAST_CASES = 50  # of either part: fewer show nothing
EVENTS_A_PAIR = 75  # new events for a (user, query) pair that is drawn from either part: a refresh costs by what is new
PAIRS = (200, 1_500)  # at least and at most
WARM = FitSettings(epochs=2, learning_rate=1e-3, least_steps=10)


@dataclass(frozen=True)
class RankerReport:
    """What became of the ranker; the manifest's `refresh.ranker`.

    Attributes:
        cases: How many requests of the new events it learned from, the sampled ones among them.
        sampled: How many of these are searches of which the log kept what the ranker read.
        held_out: How many later ones it was measured on.
        ndcg_before: Mean nDCG@10 of these, of the last bundle's ranker over the candidates; None where nothing was
            measured.
        ndcg_after: Of the one that went on.
        standard_error: Of the mean difference of the two, by the requests.
        taken: Whether the bundle has the new one.
        note: Why the last one stays; empty where it does not.
    """

    cases: int = 0
    sampled: int = 0
    held_out: int = 0
    ndcg_before: float | None = None
    ndcg_after: float | None = None
    standard_error: float | None = None
    taken: bool = False
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ContinuedRanker:
    """What became of the ranker.

    Attributes:
        taken: The one that went on; None where the last one stays.
        report: For the manifest.
    """

    taken: Ranker | None
    report: RankerReport

    def refused(self, note: str) -> ContinuedRanker:
        """Returns the same where the last one stays after all, and why."""
        return ContinuedRanker(None, replace(self.report, taken=False, note=note))


KEPT_AS_TOLD = ContinuedRanker(None, RankerReport(note="--keep-ranker"))


def continue_ranker(
    bundle: Bundle, part: LogPart, log: Interactions, rows: NDArray[np.int32], seed: int, progress: Progress
) -> ContinuedRanker:
    """Trains the last bundle's ranker further, on requests that came after it.

    Searches that were sampled while it served, and answered, teach what it really read; it is measured without them.

    Args:
        bundle: The last bundle.
        part: What the log holds behind it.
        log: The next one's log.
        rows: Where the next one's items are in the last, -1 for new ones, int32 `[items]`.
        seed: Of draws and order.
        progress: Shows the step.
    """
    spec = bundle.spec
    if note := _why_it_stays(bundle):
        return ContinuedRanker(None, RankerReport(note=note))
    new, held = len(log) - log.before(bundle.manifest["log_end"] + 1).stop, bundle.manifest["counts"]["events"]
    if new < LEAST_NEW * held:
        note = f"{new:,} events came after the {held:,} of the last bundle; it takes {LEAST_NEW:.0%} of them"
        return ContinuedRanker(None, RankerReport(note=note))
    with progress.step("requests since the last bundle"):
        learned, later, until = _build_cases(bundle, _of_items(log, rows), seed)
        sampled = sampled_cases(bundle, part.samples, part.events, until)
        learned = Cases.joined([learned, sampled])
    report = RankerReport(len(learned), len(sampled), len(later))
    if (least := min(len(learned), len(later))) < LEAST_CASES:
        note = f"{least} requests since the last bundle to learn from or to measure on; it takes {LEAST_CASES} of each"
        return ContinuedRanker(None, replace(report, note=note))
    last = open_ranker(bundle.root / "index" / RANKER_WEIGHTS, spec.embedding_dim, bundle.layout)
    with progress.steps() as advanced:
        ranker, *_ = fit(
            learned,
            later,
            bundle.vectors,
            WARM,
            seed,
            lambda epoch: advanced("training the ranker further", epoch, WARM.epochs),
            PositionBias() if len(sampled) else None,
            layout=bundle.layout,
            start=last,
        )
    before, after = (ndcg_by_case(later, predicted(of, later, bundle.vectors)) for of in (last, ranker))
    error = float(np.std(after - before)) / len(later) ** 0.5
    means = round(float(before.mean()), 4), round(float(after.mean()), 4)
    report = replace(report, ndcg_before=means[0], ndcg_after=means[1], standard_error=round(error, 4), taken=True)
    continued = ContinuedRanker(ranker, report)
    if float((after - before).mean()) > error:
        return continued
    return continued.refused("the gain of going on is within the scatter of the latest requests")


def _why_it_stays(bundle: Bundle) -> str:
    """Why a bundle's ranker cannot go on; empty where it can."""
    if not bundle.spec.ranked_kinds:
        return "fusion orders every kind of request"
    if bundle.spec.text_candidates:
        return "it reads a text tower's scores, and a refresh has no tower"
    kinds = bundle.manifest["engines"].values()
    served = {kind.get("chosen", {}).get("ranker") for kind in kinds} - {
        None,
        ENGINE_FILES["cpu"],
        ENGINE_FILES["cuda"],
    }
    return f"{', '.join(sorted(served))}: made and measured for the last one" if served else ""


def _build_cases(bundle: Bundle, log: Interactions, seed: int) -> tuple[Cases, Cases, float]:
    """The cases of what came after the bundle: those to learn from, later ones, and when those begin."""
    builder, known = _case_builder(bundle), bundle.learned("cpu")
    times = log.timestamp[log.before(bundle.manifest["log_end"] + 1).stop :]
    split = float(times[math.floor(LEARNED_SHARE * len(times))]) if len(times) else 0.0
    if not len(times) or split == times[0]:  # nothing came before what is measured on
        return builder.build([], known), builder.build([], known), split
    pairs = int(np.clip(len(times) // EVENTS_A_PAIR, *PAIRS))
    shop = Shop.of_bundle(bundle)
    synthetic = SyntheticQueries(shop.items, shop.titles, seed)
    first, second = (
        builder.build(window_queries(log, synthetic, start, end, count=pairs, seed=seed + i), known)
        for i, (start, end) in enumerate(pairwise((float(times[0]), split, float(times[-1]) + 1)))
    )
    return first, second, split


def _case_builder(bundle: Bundle) -> CaseBuilder:
    embed = partial(open_query_encoder(bundle).embed_queries, spec=bundle.spec)
    return CaseBuilder(bundle.catalog("cpu"), bundle.spec, embed, bundle.query_parser.parse)


def _of_items(log: Interactions, rows: NDArray[np.int32]) -> Interactions:
    """The log of a catalogue's items as one of another catalogue: what is of items that this has not is left out."""
    kept = rows[log.item] >= 0
    negatives = log.negatives.part(rows[log.negatives.item] >= 0)
    return replace(
        log,
        user=log.user[kept],
        item=rows[log.item][kept],
        event=log.event[kept],
        timestamp=log.timestamp[kept],
        value=log.value[kept],
        query=log.query[kept],
        places={name: (codes[kept], names) for name, (codes, names) in log.places.items()},
        weight=log.weights[kept],
        negatives=replace(negatives, item=rows[negatives.item]),
    )
