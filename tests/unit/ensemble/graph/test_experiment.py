"""An experiment in the whole graph: who is in which arm, and what the arm changes."""

from __future__ import annotations

import itertools
import json

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.controls import Explore, Rule
from fuserank_ensemble.contract.experiment import Arm, Experiment, ExperimentError
from fuserank_ensemble.contract.options import Objective
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.profile import Profile
from fuserank_ensemble.graph.steps.record import Record
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.state.entries import Interaction, ShadowList
from fuserank_ensemble.state.settings import State, StateSettings
from support.live_shop import Shop

LAST = "i59"
ARMS = [Arm("control", 0.4), Arm("pinned", 0.4, objective=Objective(click=1), rules=[Rule(pin=1, item_ids=[LAST])])]
EXPERIMENT = Experiment("first", ARMS)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return StateSettings(f"sqlite:{tmp_path_factory.mktemp('experiment') / 'log.sqlite'}")


@pytest.fixture(scope="module")
def graph(tiny_bundle, settings):
    made = LocalGraph(Bundle.open(tiny_bundle), state=settings, experiment=EXPERIMENT)
    yield made
    made.live.tail.stop()


def ask(graph, user="", **options):
    answer = graph.search("milk", user, **options)
    return [item.decode() for item in answer["ITEM_ID"][0]], json.loads(answer["STATUS"][0, 0])


def somebody_in(arm, settings, kind="user"):
    """A user, or a session, of an arm; of none where it is empty."""
    state = State.open(settings)
    names = (f"{kind}-{number}" for number in itertools.count())
    state.log.close()
    return next(name for name in names if getattr(EXPERIMENT.assign(getattr(state.key, kind)(name)), "name", "") == arm)


def test_the_arm_of_a_user_decides_and_the_reply_names_it(graph, settings):
    ids, status = ask(graph, somebody_in("pinned", settings))
    assert (ids[0], status["arm"]) == (LAST, "first/pinned")
    assert status["rules"][0]["placed"] == 1
    control, status = ask(graph, somebody_in("control", settings))
    assert status["arm"] == "first/control"
    assert (control[0] != LAST, "rules" in status) == (True, False)
    ids, status = ask(graph, somebody_in("", settings))
    assert (ids, "arm" in status) == (control, False)


def test_a_session_is_in_an_arm_where_there_is_no_user(graph, settings):
    session = somebody_in("pinned", settings, "session")
    assert ask(graph, session_id=session)[1]["arm"] == "first/pinned"
    user = somebody_in("control", settings)
    assert ask(graph, user, session_id=session)[1]["arm"] == "first/control"
    assert "arm" not in ask(graph)[1]


def test_what_a_request_sets_itself_holds(graph, settings):
    user = somebody_in("pinned", settings)
    ids, status = ask(graph, user, rules=[{"pin": 2, "item_ids": [LAST]}])
    assert (ids[1], status["arm"]) == (LAST, "first/pinned")


def test_who_opted_out_is_in_no_experiment(graph, settings, tiny_bundle):
    user = somebody_in("pinned", settings) + "-out"
    profile = Profile(Bundle.open(tiny_bundle), settings)
    values = {"USER_ID": user, "ACTION": "opt_out", "OPTIONS": "{}"}
    (answer,) = profile.execute([{name: string_tensor([[value.encode()]]) for name, value in values.items()}])
    position = json.loads(answer["PROFILE"][0, 0])["position"]
    assert "arm" not in ask(graph, user, min_position=position)[1]


def test_the_next_arm_answers_in_the_shadow_and_only_the_log_knows(tiny_bundle, tmp_path):
    place = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    graph = LocalGraph(Bundle.open(tiny_bundle), state=place, experiment=Experiment("first", ARMS, shadow=1.0))
    user = somebody_in("control", place)
    (shown, status), plain = ask(graph, user, session_id="visit"), ask(graph, somebody_in("", place))[0]
    graph.live.writer.flush()
    graph.live.tail.stop()
    state = State.open(place)
    (entry,) = [entry for _, entry in state.log.read(0, 100)]
    assert [entry] == [kept for _, kept in state.log.read_subject(state.key.user(user))]
    assert [entry] == [kept for _, kept in state.log.read_subject(state.key.session("visit"))]
    state.log.close()
    assert (entry.arm, entry.shadow, entry.bundle) == ("first/control", "first/pinned", status["bundle"])
    assert entry.shown == shown == plain
    assert entry.items != shown
    assert set(entry.items) <= {f"i{number:02}" for number in range(60)}


def test_shadow_lists_hold_an_item_that_came_since_the_bundle(tiny_bundle, tmp_path):
    shop = Shop(Bundle.open(tiny_bundle), tmp_path, experiment=Experiment("first", ARMS, shadow=1.0))
    position = shop.upsert("brand-new", title="sparkling rhubarb lemonade")
    assert "brand-new" in shop.ask("rhubarb lemonade", somebody_in("control", shop.settings), min_position=position)[0]
    shop.graph.live.writer.flush()
    shop.graph.live.tail.stop()
    state = State.open(shop.settings)
    (entry,) = [entry for _, entry in state.log.read(0, 100) if isinstance(entry, ShadowList)]
    state.log.close()
    assert (entry.arm, entry.shadow) == ("first/control", "first/pinned")
    assert "brand-new" in entry.shown
    assert "brand-new" in entry.items


def test_an_impression_keeps_its_arm(settings, tiny_bundle):
    event = {"event_id": "shown", "event": "impression", "item_id": "i01", "user_id": "u", "arm": "first/pinned"}
    bad = {**event, "event_id": "bad", "arm": "x" * 66}
    (answer,) = Record(Bundle.open(tiny_bundle), settings).execute(
        [{"EVENTS": string_tensor([[json.dumps([event, bad]).encode()]])}]
    )
    _, refused = json.loads(answer["RESULT"][0, 0])
    assert (refused["error"]["field"], refused["error"]["found"]) == ("arm", "66 bytes")
    state = State.open(settings)
    kept = [entry for _, entry in state.log.read_subject(state.key.user("u")) if isinstance(entry, Interaction)]
    state.log.close()
    assert [entry.arm for entry in kept] == ["first/pinned"]


def test_without_a_state_nobody_is_in_an_arm(tiny_bundle):
    assert "arm" not in ask(LocalGraph(Bundle.open(tiny_bundle), experiment=EXPERIMENT), "anybody")[1]


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (Arm("bad", 0.1, rules=[Rule(boost=1, filter={"colour": "red"})]), "colour"),
        (Arm("bad", 0.1, rules=[Rule(boost=1, pin=1, item_ids=["i01"])]), "exactly one of boost, bury, pin"),
        (Arm("bad", 0.1, explore=Explore(slots=[1, 1])), "1 twice"),
    ],
)
def test_an_arm_that_the_catalogue_cannot_follow_is_refused_at_the_start(tiny_bundle, arm, words):
    with pytest.raises(ExperimentError, match="experiment: arm bad: ") as raised:
        Preprocess(Bundle.open(tiny_bundle), None, Experiment("e", [Arm("control", 0.5), arm]))
    assert words in str(raised.value)
