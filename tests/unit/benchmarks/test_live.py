"""What `make bench-live` sends and fills: events that count once each, and figures that have a meaning."""

from __future__ import annotations

import json

from fuserank_benchmarks.live_load import APPENDED, EVENTS, append_events, record_message
from fuserank_benchmarks.load.open_loop import build_message
from fuserank_benchmarks.refreshing import TWIN, append_change, write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.switch.checks import check_fits
from fuserank_ensemble.state.settings import State, StateSettings, open_log
from fuserank_export.refresh.log_part import LogPart


def test_another_process_appends_as_many_events_as_it_says_each_once(tmp_path):
    place = f"sqlite:{tmp_path / 'log.sqlite'}"
    append_events(place, ["i1", "i2"], seconds=0.2, seed=1)
    log = open_log(place)
    names = [logged.entry.event_id for logged in log.read(0, 1_000)]
    log.close()
    assert len(names) == len(set(names)) == int(EVENTS * 0.2 / APPENDED) * APPENDED


def test_a_message_of_an_event_is_one_of_the_model_record():
    first, second = record_message("900", "i1"), record_message("900", "i1")
    assert json.loads(first)[0]["event_id"] != json.loads(second)[0]["event_id"]
    message = build_message(first, model="record")
    assert (message.model_name, [tensor.name for tensor in message.inputs]) == ("record", ["EVENTS"])
    assert message.raw_input_contents[0][4:].decode() == first


def test_a_twin_answers_as_the_bundle_does_under_ids_and_a_name_of_its_own(tiny_bundle, tmp_path):
    bundle, twin = Bundle.open(tiny_bundle), Bundle.open(write_twin(tiny_bundle, tmp_path / "twin"))
    assert twin.id != bundle.id
    assert [name.decode() for name in twin.items.ids] == [f"{TWIN}{name.decode()}" for name in bundle.items.ids]
    check_fits(twin, bundle, "ensemble_cpu")


def test_a_change_is_of_one_in_a_hundred_events_and_items(tiny_bundle, tmp_path):
    bundle, state = Bundle.open(tiny_bundle), State.open(StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}"))
    append_change(bundle, state)
    part = LogPart.read(state, bundle.snapshot_position)
    state.log.close()
    counts = bundle.manifest["counts"]
    assert (len(part.events), len(part.items)) == (round(counts["events"] / 100), round(counts["items"] / 100))
