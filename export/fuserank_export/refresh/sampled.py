"""Training cases from what serving read: sampled searches of which somebody took something.

Nothing is computed again: features, histories and candidates are what the log kept of them, bit by bit, see
`fuserank serve --log-features`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.options import HEADS, Options
from fuserank_ensemble.interactions.sequence import MOMENT_DIM
from fuserank_ensemble.state.entries import FeatureSample, Interaction
from fuserank_ensemble.state.identity import Subject
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.impressions import ANSWER_SECONDS, ANSWERED_BY
from fuserank_export.training.cases.training_query import Kind

CLICK = HEADS.index("click")


def sampled_cases(
    bundle: Bundle, samples: Iterable[FeatureSample], events: Iterable[Interaction], until: float
) -> Cases:
    """Returns a case of each search that a bundle answered and its user took something of within half an hour.

    As of a shown list, only what was shown has a label, and only for the click head. An item that was new then, or had
    another text than in the bundle, is left out: its vector is not the bundle's. So is a search whose user had had one.

    Args:
        bundle: The bundle, whose ranker is to learn from them.
        samples: What the log has of searches; those of other bundles are passed over.
        events: What users did, in any order.
        until: The first moment, epoch seconds, of which nothing is to be known: searches that could still be answered
            then are left out.
    """
    taken = _Taken(events)
    texts = len(bundle.vectors)
    found = []
    for sample in samples:
        if sample.bundle != bundle.id or sample.timestamp + ANSWER_SECONDS >= until or not sample.texts:
            continue
        right = taken.of(sample)
        if right and (np.frombuffer(sample.events, np.int32) < texts).all():
            found.append((sample, right))
    spec = bundle.spec
    cases = Cases.blank([_kind(s) for s, _ in found], spec.candidates, spec.events, len(bundle.layout.features))
    for case, (sample, right) in enumerate(found):
        _fill(cases, case, sample, right, bundle)
    return cases


class _Taken:
    """What users and sessions took of what they were shown, and when."""

    def __init__(self, events: Iterable[Interaction]) -> None:
        self._events: defaultdict[Subject, list[tuple[float, str]]] = defaultdict(list)
        for event in events:
            if event.event in ANSWERED_BY:
                for subject in event.subjects:
                    self._events[subject].append((event.timestamp, event.item_id))

    def of(self, sample: FeatureSample) -> set[str]:
        """Item ids of a list that were taken in time."""
        end = sample.timestamp + ANSWER_SECONDS
        events = (event for subject in sample.subjects for event in self._events.get(subject, ()))
        return {item for moment, item in events if sample.timestamp <= moment <= end} & set(sample.items)


def _kind(sample: FeatureSample) -> Kind:
    if sample.query.strip():
        return "both" if sample.events else "query"
    return "discover" if msgspec.json.decode(sample.options, type=Options).exclude_seen else "user"


def _fill(cases: Cases, case: int, sample: FeatureSample, right: set[str], bundle: Bundle) -> None:
    """Fills in a case with the items of which the bundle has the vectors."""
    texts = np.frombuffer(sample.texts, np.int32)
    features = np.frombuffer(sample.features, np.float32).reshape(len(texts), -1)
    kept = np.flatnonzero(texts < len(bundle.vectors))[: cases.rows.shape[1]]
    shown: Sequence[str] = [sample.items[place] for place in kept]
    part = slice(0, len(kept))
    cases.rows[case, part] = [bundle.items.any_row(item) for item in shown]
    cases.features[case, part], cases.texts[case, part] = features[kept], texts[kept]
    cases.positions[case, part] = kept + 1
    cases.labels[case, part, CLICK] = [item in right for item in shown]
    events = np.frombuffer(sample.events, np.int32)
    cases.events[case, : len(events)] = events
    cases.moments[case, : len(events)] = np.frombuffer(sample.moments, np.float32).reshape(-1, MOMENT_DIM)
