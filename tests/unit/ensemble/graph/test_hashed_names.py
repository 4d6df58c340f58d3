"""The names that a bundle has for people are for programs that have bundles; over the network they name nobody."""

from __future__ import annotations

import json

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.request import decode_requests
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.live.state import LiveState
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.profile import Profile
from fuserank_ensemble.graph.steps.record import Record
from fuserank_ensemble.graph.steps.similar import Similar
from fuserank_ensemble.graph.steps.suggest import Suggest
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.graph.warmups import read_warmups
from fuserank_ensemble.state.settings import StateSettings


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle)


@pytest.fixture
def name(bundle):
    """What the bundle calls one of its users."""
    return bundle.histories.users.tolist()[0].decode()


def ask(step, **inputs):
    (answer,) = step.execute([{field: string_tensor([[value.encode()]]) for field, value in inputs.items()}])
    return answer


def search(step, user="", **options):
    return ask(step, QUERY="milk", USER_ID=user, OPTIONS=json.dumps(options))


def assert_refused(answer, field, name):
    assert isinstance(answer, InvalidRequestError)
    assert str(answer).startswith(f'{field}: found "{name}"; allowed: the shop\'s own id; `hash:` and 32 hexadecimal')


def test_a_search_as_somebody_in_a_bundle_is_refused_over_the_network(bundle, name):
    step = Preprocess(bundle)
    assert_refused(search(step, name), "USER_ID", name)
    assert_refused(search(step, session_id=name), "OPTIONS.session_id", name)
    for other in (name[:-1], name.upper(), f"{name}0", "hash:", f" {name}"):  # such ids a shop may have
        assert not isinstance(search(step, other, session_id=other), InvalidRequestError)


def test_items_and_completions_for_somebody_in_a_bundle_are_refused_over_the_network(bundle, name):
    similar = Similar(bundle, lambda *call: pytest.fail("no other model is asked"))
    row = {"ITEM_ID": "i01", "TEXT": ""}
    assert_refused(ask(similar, **row, OPTIONS=json.dumps({"user": name})), "OPTIONS.user", name)
    assert_refused(ask(similar, **row, OPTIONS=json.dumps({"session_id": name})), "OPTIONS.session_id", name)
    suggest = Suggest.open(bundle.root, "cpu", LocalGraph(bundle))
    assert_refused(ask(suggest, PREFIX="m", OPTIONS=json.dumps({"user": name})), "OPTIONS.user", name)


def test_nothing_is_recorded_or_forgotten_of_somebody_by_the_name_in_a_bundle(bundle, name, tmp_path):
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    record, profile = Record(bundle, settings), Profile(bundle, settings)
    for field in ("user_id", "session_id"):
        event = {"event_id": f"e-{field}", "event": "click", "item_id": "i01", field: name}
        answer = ask(record, EVENTS=json.dumps([event]))
        error = json.loads(answer["RESULT"][0, 0])[0]["error"]
        assert (error["field"], error["found"]) == (field, f'"{name}"')
    for action in ("get", "forget", "opt_out"):
        assert_refused(ask(profile, USER_ID=name, ACTION=action, OPTIONS="{}"), "USER_ID", name)
    for option in ("from_user", "from_session"):
        merge = ask(profile, USER_ID="anna", ACTION="merge", OPTIONS=json.dumps({option: name}))
        assert_refused(merge, f"OPTIONS.{option}", name)
    record.close()
    profile.close()


def test_programs_that_have_the_bundle_may_ask_as_anybody_in_it(bundle, name):
    graph = LocalGraph(bundle)
    assert json.loads(graph.search("milk", name)["STATUS"][0, 0])["user_known"] is True
    assert len(graph.similar("i01", user=name)["ITEM_ID"][0])


def test_a_warm_up_of_triton_is_answered_once_and_is_no_search_to_keep(bundle, tmp_path):
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}", feature_share=1.0)
    live = LiveState.open(bundle, settings, has_words=True)
    step, warmups = Preprocess(bundle, live), read_warmups(bundle)
    of_user = [raw for raw in warmups if raw[1]]
    assert len(warmups) == 3
    assert len(of_user) == 2
    for raw in of_user:
        inputs = dict(zip(("QUERY", "USER_ID", "OPTIONS"), map(bytes.decode, raw), strict=True))
        (resolved,) = decode_requests(ask(step, **inputs)["REQUEST"])
        assert resolved.sampled is None
        assert_refused(ask(step, **inputs), "USER_ID", raw[1].decode())
    (resolved,) = decode_requests(search(step, "anna")["REQUEST"])
    assert resolved.sampled is not None
    live.close()
