"""What the log keeps of a share of the searches is what is computed of them again, bit by bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.live.past import PastFeatures
from fuserank_ensemble.graph.live.sampling import SAMPLED_PLACES, is_drawn
from fuserank_ensemble.graph.steps.profile import Profile
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.state.settings import State, StateError, StateSettings
from fuserank_export.feature_log.table import write_feature_log
from fuserank_export.sources import InputError
from support.live_shop import Shop

ASKED = [
    ("milk", "u01", {}),
    ("", "u01", {"k": 5}),
    ("goat cheese", "", {"session_id": "visit-7"}),
    ("", "newcomer", {"exclude_seen": True, "session_id": "visit-8"}),
    ("brand new butter", "u02", {"filter": {"price": {"lt": 20}}, "context": {"store": "north"}}),
    ("milk", "", {"k": 40, "diversity": 0.3}),
]


class Sampling(Shop):
    """A shop that keeps what the ranker read of every search."""

    def __init__(self, bundle, folder, share=1.0):
        super().__init__(bundle, folder, feature_share=share)
        self.graph.live.popularity.seconds = 0.0  # counts at once, not within a second

    def samples(self):
        self.graph.live.writer.flush()
        past = PastFeatures(self.bundle, self.settings)
        found = [sample for _, sample in past.samples()]
        return past, found

    def opt_out(self, user):
        values = {"USER_ID": user, "ACTION": "opt_out", "OPTIONS": "{}"}
        profile = Profile(self.bundle, self.settings)
        profile.execute([{name: string_tensor([[value.encode()]]) for name, value in values.items()}])
        profile.close()


@pytest.fixture(scope="module")
def shop(tiny_bundle, tmp_path_factory):
    """What users did and what the shop changed comes between searches, and after them."""
    made = Sampling(Bundle.open(tiny_bundle), tmp_path_factory.mktemp("sampling"))
    made.shown = []
    for number, (query, user, options) in enumerate(ASKED):
        items, _ = made.ask(query, user, min_position=made.upsert("i07", price=10.0 + number), **options)
        made.shown.append(list(items))
        made.upsert(f"new-{number}", title=f"brand new butter {number}", price=3.0)
        done = [("i03", "purchase"), ("i11", "dislike"), (f"new-{number}", "cart"), ("i21", "click")]
        for item, event in done:
            made.record({"item_id": item, "event": event, "user_id": "u01", "session_id": "visit-7"})
        position = made.record({"item_id": "i40", "event": "purchase", "user_id": "u02"})["position"]
        made.ask("butter", "u01", min_position=position, k=3)
        made.shown.append(None)
    yield made
    made.graph.live.tail.stop()


def test_what_serving_read_is_what_is_computed_at_the_same_position_bit_by_bit(shop):
    past, samples = shop.samples()
    assert len(samples) == len(shop.shown)
    moments = {(sample.position, sample.catalog, sample.popularity) for sample in samples}
    assert len(moments) == len(samples)
    width = len(shop.bundle.layout.features)
    for sample, shown in zip(samples, shop.shown, strict=True):
        assert shown is None or sample.items == shown[:SAMPLED_PLACES]
        assert len(sample.features) == 4 * width * len(sample.items)
        assert past.of_sample(sample).tobytes() == sample.features
    # What happened later would be seen.
    first = samples[0]
    later = replace_sample(first, position=samples[-1].position, popularity=samples[-1].popularity)
    assert past.of_sample(later).tobytes() != first.features
    past.close()


def test_samples_in_the_logs_order_cost_one_reading_of_it(shop, monkeypatch):
    past, samples = shop.samples()
    log, read = past._state.log, []

    def reading(after, count, plain=log.read):
        read.extend(batch := plain(after, count))
        return batch

    monkeypatch.setattr(log, "read", reading)
    assert all(past.of_sample(sample).tobytes() == sample.features for sample in samples)
    assert 0 < len(read) <= log.last_position()
    assert past.of_sample(samples[0]).tobytes() == samples[0].features  # backwards, too
    past.close()


def replace_sample(sample, **changes):
    return type(sample)(**{name: getattr(sample, name) for name in sample.__struct_fields__} | changes)


def test_who_asked_is_kept_by_hash_and_forgotten_with_all_else(shop):
    past, samples = shop.samples()
    key = State.open(shop.settings).key
    assert [sample.user for sample in samples[:2]] == [key.user("u01")] * 2
    (of_session,) = [sample for sample in samples if sample.query == "goat cheese"]
    assert (of_session.user, of_session.session) == (b"", key.session("visit-7"))
    kept = repr(samples)
    assert "visit-7" not in kept
    assert "u01" not in kept
    assert past._state.log.read_subject(key.session("visit-8"))[0].entry.session == key.session("visit-8")
    past.close()


def test_the_table_has_a_row_an_item_and_says_how_many_samples_are_the_same(shop, tmp_path):
    past, samples = shop.samples()
    past.close()
    report = write_feature_log(shop.bundle, shop.settings, tmp_path / "features.parquet", check=3)
    assert (report.samples, report.checked, report.equal) == (len(samples), 3, 3)
    table = pq.read_table(tmp_path / "features.parquet")
    assert len(table) == report.rows == sum(len(sample.items) for sample in samples)
    assert table["position"].to_pylist()[:3] == [1, 2, 3]
    assert table["user_id"].to_pylist()[0] == State.open(shop.settings).key.user_name("u01")
    name = shop.bundle.layout.features[0].name
    width = len(shop.bundle.layout.features)
    first = np.frombuffer(samples[0].features, np.float32).reshape(-1, width)[:, 0]
    np.testing.assert_array_equal(table[f"feature.{name}"].to_numpy()[: len(first)], first)
    with pytest.raises(InputError, match="exists already"):
        write_feature_log(shop.bundle, shop.settings, tmp_path / "features.parquet")


def test_nothing_is_kept_by_default_nor_of_who_opted_out(tiny_bundle, tmp_path):
    bundle = Bundle.open(tiny_bundle)
    plain = Sampling(bundle, tmp_path / "plain", share=0.0)
    plain.ask("milk", "u01")
    assert plain.samples()[1] == []
    plain.graph.live.tail.stop()
    made = Sampling(bundle, tmp_path / "all")
    made.opt_out("u03")
    position = State.open(made.settings).log.last_position()
    made.ask("milk", "u03", min_position=position)
    made.ask("milk", "u04", min_position=position)
    assert [sample.user for sample in made.samples()[1]] == [State.open(made.settings).key.user("u04")]
    made.graph.live.tail.stop()


def test_a_share_is_drawn_by_what_the_request_is():
    parts = [str(number).encode() for number in range(4_000)]
    drawn = [is_drawn(0.1, b"user", part) for part in parts]
    assert 320 < sum(drawn) < 480
    assert drawn == [is_drawn(0.1, b"user", part) for part in parts]
    assert sum(drawn) > sum(a and b for a, b in zip(drawn, (is_drawn(0.1, b"other", p) for p in parts), strict=True))
    assert not any(is_drawn(0.0, part) for part in parts)
    assert all(is_drawn(1.0, part) for part in parts)


def test_a_share_travels_to_the_processes_and_has_bounds():
    settings = StateSettings("sqlite:/x", feature_share=0.25)
    assert StateSettings.from_environment(settings.to_environment()) == settings
    with pytest.raises(StateError, match=r"FEATURE_SHARE: found 1.5; allowed: a share from 0 to 1"):
        replace(settings, feature_share=1.5)
