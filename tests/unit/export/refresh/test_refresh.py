"""The next bundle holds what happened since, computes only what changed, and is refused where it is worse."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fuserank_ensemble.bundle import EVENTS, Bundle, BundleError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.retrieval.lexical.phrases import phrase_key
from fuserank_ensemble.retrieval.lexical.suggest import Suggester
from fuserank_ensemble.serving.switch.checks import check_fits, check_nobody_forgotten
from fuserank_ensemble.serving.switch.switch import trim_held
from fuserank_ensemble.state.entries import Forget, Interaction, ItemChange, ItemDelete, Merge, Personalise
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.options import BehaviourFiles, OutputOptions
from fuserank_export.builder.query_counts import SUGGEST_MIN_USERS
from fuserank_export.builder.read import read_behaviour
from fuserank_export.refresh import refresh as refreshing
from fuserank_export.refresh.command import refresh_served
from fuserank_export.refresh.refresh import RefusedError, refresh_bundle
from fuserank_export.sources import InputError
from support.exporting import silent

TEXT = "golden turmeric powder"


class Log:
    """A state, and short ways to write it."""

    def __init__(self, path: Path):
        self.settings = StateSettings(f"sqlite:{path}")
        self.state = State.open(self.settings)
        self.count = 0

    def name(self):
        self.count += 1
        return f"e{self.count}"

    def did(self, item, user="", session="", event="purchase", **more):
        key = self.state.key
        entry = Interaction(
            event_id=self.name(), item_id=item, event=event, timestamp=time.time(),
            user=key.user(user) if user else b"", session=key.session(session) if session else b"", **more,
        )  # fmt: skip
        return self.state.log.append([entry])[0].position

    def ask(self, kind, **fields):
        return self.state.log.append([kind(event_id=self.name(), **fields)])[0].position


@dataclass
class Refreshed:
    log: Log
    old: Bundle
    new: Bundle
    last: int
    items: list[str]
    users: list[str]


def fill(log: Log, old: Bundle) -> tuple[list[str], list[str]]:
    """Lets all kinds of things happen; returns the items and users that they are about."""
    items, users = ([name.decode() for name in names.tolist()] for names in (old.items.ids, old.histories.users))
    key = log.state.key
    log.did(items[1], users[0])
    log.did(items[2], "newcomer", query="gift")
    log.did(items[3], session="visit")
    log.did(items[4], session="before log-in")
    log.ask(Merge, user=key.user(users[1]), source=key.session("before log-in"))
    log.did(items[5], users[2])
    log.ask(Forget, user=key.user(users[2]))
    log.ask(Personalise, user=key.user(users[3]), allowed=False)
    log.did(items[6], users[4], event="hide")
    log.did("of another shop", users[0])
    log.ask(ItemChange, item_id=items[7], fields={"price": 77.5, "shelf": None})
    log.ask(ItemChange, item_id=items[8], fields={"title": TEXT})
    log.ask(ItemDelete, item_id=items[9])
    log.ask(ItemChange, item_id="brand new", fields={"title": f"new {TEXT}", "price": 3.0})
    return items, users


def refreshed_from(old: Bundle, log: Log, out: Path) -> Bundle | None:
    made = refresh_bundle(old, log.state, OutputOptions(folder=out), silent())
    return None if made is None else Bundle.open(out)


@pytest.fixture(scope="module")
def world(tiny_bundle, tmp_path_factory) -> Refreshed:
    folder = tmp_path_factory.mktemp("refresh")
    log, old = Log(folder / "log.sqlite"), Bundle.open(tiny_bundle)
    items, users = fill(log, old)
    last = log.state.log.last_position()
    new = refreshed_from(old, log, folder / "next")
    assert new is not None
    return Refreshed(log, old, new, last, items, users)


def test_what_one_user_has_searched_for_since_is_suggested_to_nobody(world):
    suggester = Suggester.open(world.new.root / "index" / "suggest")
    assert suggester.has_key(phrase_key(TEXT))
    assert not suggester.has_key("gift")
    least = [bundle.manifest["search"]["suggest"]["min_users"] for bundle in (world.old, world.new)]
    assert least == [SUGGEST_MIN_USERS] * 2


def counted(bundle, name, item):
    """What a user of a bundle has of an item."""
    history = bundle.histories.get(name)
    row = bundle.items.row(item)
    return 0.0 if history is None else float(history.counts[history.rows == row].sum())


def test_it_names_what_it_holds_of_the_log_and_what_it_was_made_from(world):
    manifest = world.new.manifest
    assert world.new.snapshot_position == SnapshotPosition(world.log.state.log.id, world.last)
    made = manifest["refresh"]
    assert (manifest["made_from"], made["from"]) == (world.old.id, world.old.id)
    assert made["items"] == {"changed": 2, "added": 1, "deleted": 1, "untitled": 0}
    assert (made["texts_embedded"], made["forgotten"]) == (2, 1)
    assert made["gate"]["problems"] == []
    assert manifest["counts"]["items"] == world.old.manifest["counts"]["items"]
    assert set(manifest["export_steps"]) == {
        "log", "catalog", "read", "index", "embed", "learn", "words", "ranker", "seal", "gate",
    }  # fmt: skip


def test_events_count_under_the_users_of_the_bundle_and_under_hashes_for_others(world):
    before, after = world.old, world.new
    assert counted(after, world.users[0], world.items[1]) == pytest.approx(
        counted(before, world.users[0], world.items[1]) + 1
    )
    assert counted(after, world.users[1], world.items[4]) == pytest.approx(
        counted(before, world.users[1], world.items[4]) + 1
    )
    assert "newcomer" not in after.user_names()
    graph = LocalGraph(after, state=world.log.settings)
    for asked, item in (({"user": "newcomer"}, 2), ({"session_id": "visit"}, 3)):
        answer = graph.search(**asked, k=60)
        assert json.loads(answer["STATUS"][0, 0])["user_known"]
        assert answer["ITEM_ID"][0].tolist().index(world.items[item].encode()) < 10
    hidden = graph.search(user=world.users[4], k=60)["ITEM_ID"][0].tolist()
    assert world.items[6].encode() not in hidden


def test_who_was_forgotten_is_not_in_it_and_who_opted_out_stays_so(world):
    name = world.users[2]
    assert name in world.old.user_names()
    assert name not in world.new.user_names()
    parts = [pq.read_table(path)["user_id"].to_pylist() for path in sorted((world.new.root / EVENTS).iterdir())]
    assert not any(name in users for users in parts)
    check_nobody_forgotten(world.new, world.log.state)
    with pytest.raises(Exception, match="forgotten"):
        check_nobody_forgotten(world.old, world.log.state)
    graph = LocalGraph(world.new, state=world.log.settings)
    assert json.loads(graph.search(user=world.users[3])["STATUS"][0, 0])["opted_out"]


def test_the_catalogue_is_as_the_shop_left_it(world):
    new, items = world.new, world.items
    assert new.items.row(items[9]) == -1
    record = json.loads(new.records.raw(new.items.row(items[7])))
    assert (record["price"], "shelf" in record) == (77.5, False)
    graph = LocalGraph(new)
    assert {i.decode() for i in graph.search("turmeric", k=2)["ITEM_ID"][0]} == {items[8], "brand new"}
    # What was said of nobody is as it was: kinds and words of the columns, and each other item's record.
    assert new.items.columns.kinds == world.old.items.columns.kinds
    for item in items[10:20]:
        assert json.loads(new.records.raw(new.items.row(item))) == json.loads(
            world.old.records.raw(world.old.items.row(item))
        )


def test_what_did_not_change_is_taken_over(world):
    old, new = world.old, world.new
    for item in world.items[10:]:
        texts = (bundle.items.text[bundle.items.row(item)] for bundle in (old, new))
        np.testing.assert_array_equal(old.vectors[next(texts)], new.vectors[next(texts)])
    for name in ("model_repository/ranker/1/model.onnx", "model_repository/encoder/1/model.onnx"):
        assert (old.root / name).stat().st_ino == (new.root / name).stat().st_ino
    for target in ("single_process", "ensemble_cpu"):
        check_fits(new, old, target)


def test_it_can_be_refreshed_again_and_the_log_is_trimmed_to_what_both_hold(world, tmp_path):
    log, state = world.log, world.log.state
    assert refreshed_from(world.new, log, tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()
    last = log.did(world.items[2], "newcomer")
    again = refreshed_from(world.new, log, tmp_path / "again")
    assert again.snapshot_position.position == last
    name = f"hash:{state.key.user('newcomer').hex()}"
    assert [counted(bundle, name, world.items[2]) for bundle in (world.new, again)] == [
        pytest.approx(1.0),
        pytest.approx(2.0),
    ]
    assert again.items.row(world.items[9]) == -1
    assert again.manifest["refresh"]["texts_embedded"] == 0
    words = Path("index", "lexical", "items", "meta.json")
    assert (again.root / words).stat().st_ino == (world.new.root / words).stat().st_ino
    assert trim_held(state, (world.old, again)) == 0  # what the old one does not hold is still needed for a rollback
    log_of_both = state.log
    before = log_of_both.size()
    with pytest.MonkeyPatch.context() as patch:
        trim = log_of_both.trim
        patch.setattr(type(log_of_both), "trim", lambda self, position: trim(position, keep_seconds=0.0))
        assert trim_held(state, (world.new, again)) > 0
    assert log_of_both.trimmed_position() == world.last
    assert log_of_both.size() < before
    with pytest.raises(InputError, match="is in neither"):
        refreshed_from(world.old, log, tmp_path / "gap")


def test_a_bundle_newer_than_a_restored_log_is_not_refreshed_with_old_entries(world, tmp_path):
    restored = Log(tmp_path / "log.sqlite")
    restored.did(world.items[0], "u")
    ahead = Bundle(world.old.root, {**world.old.manifest, "live_log": {"id": restored.state.log.id, "position": 99}},
                   world.old.spec)  # fmt: skip
    assert refreshed_from(ahead, restored, tmp_path / "out") is None


def test_a_worse_bundle_is_refused_with_the_figures_and_nothing_is_left(world, tmp_path, monkeypatch):
    log = Log(tmp_path / "log.sqlite")
    log.did(world.items[0], world.users[0])
    carry = refreshing.carry_vectors

    def spoil(bundle, texts, carried, encoder, out):
        vectors = carry(bundle, texts, carried, encoder, out)[::-1].copy()
        np.save(out, vectors)
        return vectors

    monkeypatch.setattr(refreshing, "carry_vectors", spoil)
    with pytest.raises(RefusedError, match="cosine"):
        refreshed_from(world.old, log, tmp_path / "worse")
    figures = json.loads((tmp_path / "worse.refused.json").read_text("utf-8"))
    assert figures["gate"]["least_cosine"] < 0.999
    assert sorted(path.name for path in tmp_path.iterdir() if "worse" in path.name) == ["worse.refused.json"]


def test_an_export_from_files_goes_on_behind_the_log_without_who_was_forgotten(tiny_shop, world, tmp_path):
    log = Log(tmp_path / "log.sqlite")
    last = log.ask(Forget, user=log.state.key.user(world.users[0]))
    held = HeldLog.read(log.settings.place, None)
    assert held.position == SnapshotPosition(log.state.log.id, last)
    files = BehaviourFiles(interactions=tiny_shop.interactions)
    archive = tmp_path / "events.parquet"
    found = read_behaviour(
        files, world.items, seed=1, has_tower=False, progress=silent(), archive=archive, held=held
    ).log
    assert {held.key.user_name(user) for user in found.user_ids} == set(world.users[1:])
    assert found.report.left_out["of users who were forgotten"] > 0
    assert set(pq.read_table(archive)["user_id"].to_pylist()) == set(world.users[1:])
    # What was kept is the log again, event by event; only the order of users is that of their hashes.
    again = read_behaviour(
        BehaviourFiles(interactions=archive), world.items, seed=1, has_tower=False, progress=silent()
    )
    for name in ("item", "event", "timestamp", "value", "query"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again.log, name))
    hashed = [held.key.user_name(found.user_ids[user]) for user in found.user.tolist()]
    assert [again.log.user_ids[user] for user in again.log.user.tolist()] == hashed


def test_a_log_under_another_key_is_refused_before_anything_is_written(world, tmp_path):
    (tmp_path / "key").write_text("ab" * 32)
    state = State.open(StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}", tmp_path / "key"))
    fingerprint = state.key.fingerprint
    with pytest.raises(BundleError, match=f"under the key {world.old.user_key}, and the key here is {fingerprint}"):
        refresh_bundle(world.old, state, OutputOptions(folder=tmp_path / "next"), silent())
    assert not (tmp_path / "next").exists()


def test_the_command_needs_a_log_and_a_free_place(world, tmp_path):
    with pytest.raises(InputError, match="exists already"):
        refresh_served(world.old.root, None, None, OutputOptions(folder=tmp_path), silent())
    with pytest.raises(InputError, match="--state"):
        refresh_served(world.old.root, "none", None, OutputOptions(folder=tmp_path / "x"), silent())
    with pytest.raises(InputError, match="there is no such log"):
        refresh_served(
            world.old.root, f"sqlite:{tmp_path / 'typo'}", None, OutputOptions(folder=tmp_path / "x"), silent()
        )
    assert list(tmp_path.iterdir()) == []
