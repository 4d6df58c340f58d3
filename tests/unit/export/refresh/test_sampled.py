"""Training from sampled searches reads what serving read, bit by bit, and learns what people took of it."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.spec import RANKED_KINDS
from fuserank_ensemble.state.settings import State
from fuserank_export.builder.options import OutputOptions
from fuserank_export.refresh import gate
from fuserank_export.refresh import ranker as ranking
from fuserank_export.refresh.log_part import LogPart
from fuserank_export.refresh.refresh import refresh_bundle
from fuserank_export.refresh.sampled import CLICK, sampled_cases
from fuserank_export.training.fitting.dataset import ranker_inputs
from support.busy_machine import PATIENCE
from support.exporting import silent
from support.live_shop import Shop
from support.tiny_shop import LOG_END

NOW = LOG_END.timestamp() + 3_600
EVER = math.inf


class Served(Shop):
    """A shop that keeps what the ranker read, and what it was given while it served."""

    def __init__(self, bundle, folder):
        super().__init__(bundle, folder, feature_share=1.0)
        self.graph.live.popularity.seconds = 0.0  # counts at once, not within a second
        self.asked = []

    def search(self, query, user, at=NOW, after=0, **options):
        """Asks, and returns the ids that were shown."""
        self.graph.live.wait_for(after, PATIENCE)
        options = {"context": {"timestamp": at}, "min_position": after, **options}
        traced = dict(self.graph.trace([(query, user, options)]))
        shown = [item.decode() for item in traced["search"]["ITEM_ID"][0] if item]
        self.asked.append((shown, traced["finalize"]["CANDIDATES"][0], traced["ranker"]))
        return shown

    def part(self):
        self.graph.live.writer.flush()
        return LogPart.read(State.open(self.settings), self.bundle.snapshot_position)

    def cases(self, until=EVER):
        part = self.part()
        return sampled_cases(self.bundle, part.samples, part.events, until)


@pytest.fixture
def shop(tiny_bundle, tmp_path):
    made = Served(Bundle.open(tiny_bundle), tmp_path / "served")
    yield made
    made.graph.live.tail.stop()


def take(shop, item, at=NOW + 60, event="click", **who):
    return shop.record({"item_id": item, "event": event, "timestamp": at, **who})["position"]


def test_the_ranker_is_taught_with_what_it_was_given_bit_by_bit(shop):
    for query, who in (("milk", {"user_id": "u01"}), ("", {"user_id": "u02"}), ("goat cheese", {"session_id": "s"})):
        user, session = who.get("user_id", ""), {name: who[name] for name in who if name == "session_id"}
        position = take(shop, shop.search(query, user, k=5, **session)[1], **who)
        shown = shop.search(query, user, k=8, after=position, **session)
        take(shop, shown[0], event="purchase", **who)
    cases, vectors = shop.cases(), shop.bundle.vectors
    assert len(cases) == len(shop.asked) == 6
    assert (cases.events >= 0).any()
    for case, (shown, candidates, given) in enumerate(shop.asked):
        rows = [shop.bundle.items.any_row(item) for item in shown]
        places = [candidates.tolist().index(row) for row in rows]
        taught = {name: tensor.numpy()[0] for name, tensor in ranker_inputs(cases, vectors, np.array([case])).items()}
        for name in ("features", "vectors"):
            assert taught[name][: len(shown)].tobytes() == given[name.upper()][0][places].tobytes(), name
        for name in ("events", "moments"):
            assert taught[name].tobytes() == given[name.upper()][0].tobytes(), name
        assert np.isnan(taught["reading"]).all()
        assert cases.rows[case][cases.present[case]].tolist() == rows
        assert cases.positions[case][: len(shown)].tolist() == list(range(1, len(shown) + 1))
    assert cases.labels[0, 1:5, CLICK].tolist() == [1, 0, 0, 0]
    assert np.isnan(cases.labels[..., [head for head in range(3) if head != CLICK]]).all()
    assert cases.kinds.tolist()[:3] == ["both", "both", "user"]


def test_only_what_its_user_took_in_time_makes_a_case_of_a_search(shop):
    first = shop.search("milk", "u01", k=5)
    take(shop, first[0], user_id="u02")  # somebody else
    take(shop, first[0], at=NOW - 60, user_id="u01")  # before
    take(shop, first[0], at=NOW + 3_600, user_id="u01")  # much later
    take(shop, first[0], event="view", user_id="u01")  # looked at it
    take(shop, "i40" if "i40" not in first else "i41", user_id="u01")  # of another list
    assert len(shop.cases()) == 0
    take(shop, first[2], event="cart", user_id="u01")
    assert shop.cases().labels[0, :5, CLICK].tolist() == [0, 0, 1, 0, 0]
    assert len(shop.cases(until=NOW + 1_800)) == 0  # could still be answered then
    other = Bundle(shop.bundle.root, {**shop.bundle.manifest, "id": "b-other"}, shop.bundle.spec)
    part = shop.part()
    assert len(sampled_cases(other, part.samples, part.events, EVER)) == 0


def test_an_item_whose_vector_the_bundle_has_not_is_left_out(shop):
    position = shop.upsert("new-1", title="brand new butter", price=3.0)
    shown = shop.search("brand new butter", "u01", after=position, k=5)
    assert "new-1" in shown
    others = [item for item in shown if item != "new-1"]
    take(shop, others[0], user_id="u01")
    case = shop.cases()
    assert case.rows[0, : len(others)].tolist() == [shop.bundle.items.any_row(item) for item in others]
    assert case.positions[0, : len(others)].tolist() == [shown.index(item) + 1 for item in others]
    # Whoever had it has a history that the bundle's vectors do not tell.
    after = take(shop, "new-1", event="purchase", at=NOW, user_id="u03")
    taken = shop.search("milk", "u03", after=after, k=5)[0]
    take(shop, taken, user_id="u03")
    assert len(shop.cases()) == 1


def test_a_refresh_learns_from_the_samples_before_what_it_measures_on(tiny_bundle, tiny_shop, tmp_path, monkeypatch):
    bundle = Bundle.open(tiny_bundle)
    bundle = Bundle(bundle.root, bundle.manifest, replace(bundle.spec, ranked_kinds=RANKED_KINDS))
    monkeypatch.setattr(gate, "MAX_NDCG_LOSS", 1.0)
    monkeypatch.setattr(ranking, "LEAST_CASES", 1)
    monkeypatch.setattr(ranking, "LEAST_NEW", 0.0)
    learned = []

    def watched(cases, later, vectors, settings, seed, advanced, position, *, layout, start):
        learned.append((cases, position))
        return start, []

    monkeypatch.setattr(ranking, "fit", watched)
    shop = Served(bundle, tmp_path / "served")
    start = time.time() - 86_400
    for number, user in enumerate(list(tiny_shop.favourites)[:10]):
        at = start + 3_600 * number
        shown = shop.search("milk", user, at=at, k=5)
        take(shop, shown[0], at=at + 60, event="purchase", user_id=user)
    shop.graph.live.writer.flush()
    manifest = refresh_bundle(bundle, State.open(shop.settings), OutputOptions(folder=tmp_path / "next"), silent())
    shop.graph.live.tail.stop()
    ((cases, position),) = learned
    report = manifest["refresh"]["ranker"]
    assert report["sampled"] == 8  # four fifths
    assert report["cases"] == len(cases) > 8
    assert position is not None
    assert (cases.positions > 0).any(1).sum() == 8
