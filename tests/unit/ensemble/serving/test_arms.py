"""Arms of an experiment with bundles of their own: who is answered from which, under load, and what is refused."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_benchmarks.refreshing import TWIN, write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.experiment import Arm, Experiment, ExperimentError, read_experiment
from fuserank_ensemble.graph.executor import GraphExecutor
from fuserank_ensemble.graph.live.state import LiveState
from fuserank_ensemble.graph.single_process import SingleProcess
from fuserank_ensemble.graph.stages import SEARCH_OUTPUTS, search_stages
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.profile import Profile
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.graph.tensors import join_rows, string_tensor
from fuserank_ensemble.serving.arms import DEALT_MODELS, arm_places, check_arms
from fuserank_ensemble.serving.switch.folder import BundlePlace, ServerNote, SwitchError, SwitchFolder
from fuserank_ensemble.serving.switch.step import OpenedStep, SwitchingStep
from fuserank_ensemble.serving.switch.switch import promote_bundle, rollback_bundle
from fuserank_ensemble.state.settings import State, StateSettings
from support.busy_machine import PATIENCE

SERVED, TWIN_ARM, NO_ARM = "ab/control", "ab/twin", ""


@pytest.fixture(scope="module")
def twin(tiny_bundle, tmp_path_factory):
    """Answers as the shop's bundle does, with ids that begin with `TWIN`."""
    return write_twin(tiny_bundle, tmp_path_factory.mktemp("arm") / "twin")


@pytest.fixture(scope="module")
def experiment(twin, tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "ab.toml"
    arms = [{"name": "control", "share": 0.4}, {"name": "twin", "share": 0.4, "bundle": str(twin)}]
    path.write_text("\n".join(['name = "ab"', *(_table(arm) for arm in arms)]))
    return read_experiment(path)


def _table(values):
    return "\n".join(["[[arms]]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())])


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return StateSettings(f"sqlite:{tmp_path_factory.mktemp('log') / 'log.sqlite'}")


@pytest.fixture(scope="module")
def live(tiny_bundle, twin, settings):
    """What happened since each of the two bundles."""
    opened = [
        LiveState.open(Bundle.open(root), settings, has_words=True, search_on="cpu") for root in (tiny_bundle, twin)
    ]
    yield opened
    for state in opened:
        state.close()


@pytest.fixture(scope="module")
def search(tiny_bundle, twin, experiment, live):
    """The whole graph in one process, on both bundles."""
    served, other = (
        OpenedStep(SingleProcess(Bundle.open(root), None, state, experiment))
        for root, state in zip((tiny_bundle, twin), live, strict=True)
    )
    return SwitchingStep("search", tiny_bundle, served, never, None, {Bundle.open(twin).id: other})


@pytest.fixture(scope="module")
def stages(tiny_bundle, twin, experiment, live):
    """The same, a step after the other: each on both bundles, as the processes of an ensemble hold them."""
    bundles = [Bundle.open(root) for root in (tiny_bundle, twin)]
    opened = {
        "preprocess": [Preprocess(bundle, state, experiment) for bundle, state in zip(bundles, live, strict=True)],
        "retrieve": [Retrieve(bundle, "cpu", state) for bundle, state in zip(bundles, live, strict=True)],
        "finalize": [Finalize(bundle, live=state) for bundle, state in zip(bundles, live, strict=True)],
    }
    steps = {
        name: SwitchingStep(name, tiny_bundle, OpenedStep(served), never, None, {bundles[1].id: OpenedStep(other)})
        for name, (served, other) in opened.items()
    }
    whole = SingleProcess(bundles[0])._graph._stages
    engines = {stage.name: step for stage, step in whole if stage.kind == "engine"}
    return GraphExecutor(search_stages(bundles[0].spec), steps, engines)


def never(root):
    raise AssertionError(f"{root} is no arm's")


def people(experiment, settings, count, kind="user"):
    """Users, or sessions, of each arm and of none, by the arm's label."""
    state, found = State.open(settings), {SERVED: [], TWIN_ARM: [], NO_ARM: []}
    state.log.close()
    for name in (f"{kind}-{number}" for number in itertools.count()):
        arm = experiment.assign(getattr(state.key, kind)(name))
        found[experiment.label(arm) if arm else NO_ARM].append(name)
        if min(map(len, found.values())) >= count:
            return {label: names[:count] for label, names in found.items()}


def request(*rows):
    """A request of rows of query, user and options."""
    columns = zip(*[(query, user, json.dumps(options)) for query, user, options in rows], strict=True)
    return {
        name: string_tensor([[text.encode()] for text in column])
        for name, column in zip(("QUERY", "USER_ID", "OPTIONS"), columns, strict=True)
    }


def read(answer):
    """For each row its item ids, the arm and the bundle."""
    assert not isinstance(answer, Exception), answer
    rows = []
    for ids, (raw,) in zip(answer["ITEM_ID"], answer["STATUS"], strict=True):
        status = json.loads(raw)
        rows.append(([item.decode() for item in ids if item], status.get("arm", NO_ARM), status["bundle"]))
    return rows


def assert_own(row, label, bundle_ids):
    ids, arm, bundle = row
    assert (arm, bundle) == (label, bundle_ids[label == TWIN_ARM])
    assert ids
    assert {item.startswith(TWIN) for item in ids} == {label == TWIN_ARM}


@pytest.fixture(scope="module")
def bundle_ids(tiny_bundle, twin):
    return [Bundle.open(root).id for root in (tiny_bundle, twin)]


def test_under_load_each_arm_answers_from_its_bundle_and_nobody_changes_arms(search, experiment, settings, bundle_ids):
    of_arm = people(experiment, settings, 4)
    asked = [(label, user) for label, users in of_arm.items() for user in users]
    lock, seen = threading.Lock(), []

    def call(offset):
        for turn in range(6):
            label, user = asked[(offset + turn) % len(asked)]
            rows = [("milk", user, {"k": 5}), ("", user, {"k": 3})]
            with lock:  # a model's process answers one batch after the other
                answers = search.execute([request(row) for row in rows])
            for answer in answers:
                assert_own(read(answer)[0], label, bundle_ids)
            seen.append(label)

    offsets = range(0, len(asked), 2)
    with ThreadPoolExecutor(len(offsets)) as pool:
        for done in [pool.submit(call, offset) for offset in offsets]:
            done.result(PATIENCE)  # whatever went wrong in a thread is raised here
    assert len(seen) == 6 * len(offsets)
    assert set(seen) == {SERVED, TWIN_ARM, NO_ARM}


def test_rows_of_one_request_and_requests_of_one_batch_may_be_of_several_arms(
    search, stages, experiment, settings, bundle_ids
):
    of_arm = people(experiment, settings, 2)
    order = [(TWIN_ARM, 7), (SERVED, 2), (NO_ARM, 3), (TWIN_ARM, 1)]
    rows = [("milk" if k > 2 else "", of_arm[label][0], {"k": k}) for label, k in order]
    single = request(("goat cheese", of_arm[TWIN_ARM][1], {"k": 4}))
    for answers in (search.execute([request(*rows), single]), stages.execute([request(*rows), single])):
        mixed = read(answers[0])
        for row, (label, k) in zip(mixed, order, strict=True):
            assert_own(row, label, bundle_ids)
            assert len(row[0]) == k
        assert_own(read(answers[1])[0], TWIN_ARM, bundle_ids)
    alone = [search.execute([request(row)])[0] for row in rows]
    together = answers[0]
    for at, answer in enumerate(alone):
        count = order[at][1]
        assert answer["ITEM_ID"][0, :count].tolist() == together["ITEM_ID"][at, :count].tolist()
        np.testing.assert_allclose(answer["SCORE"][0, :count], together["SCORE"][at, :count], atol=1e-4)


def test_a_session_is_dealt_where_there_is_no_user_and_nobody_is_answered_by_the_served_bundle(
    search, experiment, settings, bundle_ids
):
    (session,) = people(experiment, settings, 1, "session")[TWIN_ARM]
    (user,) = people(experiment, settings, 1)[SERVED]
    asked = {("", session): TWIN_ARM, (user, session): SERVED, ("", ""): NO_ARM}
    for (name, visit), label in asked.items():
        (answer,) = search.execute([request(("milk", name, {"session_id": visit, "k": 3}))])
        assert_own(read(answer)[0], label, bundle_ids)


def test_who_opted_out_is_answered_by_the_served_bundle(search, experiment, settings, live, tiny_bundle, bundle_ids):
    user = people(experiment, settings, 3)[TWIN_ARM][2]
    values = {"USER_ID": user, "ACTION": "opt_out", "OPTIONS": "{}"}
    (answer,) = Profile(Bundle.open(tiny_bundle), settings).execute(
        [{name: string_tensor([[value.encode()]]) for name, value in values.items()}]
    )
    position = json.loads(answer["PROFILE"][0, 0])["position"]
    assert all(state.wait_for(position, PATIENCE) for state in live)
    (found,) = search.execute([request(("milk", user, {"k": 3}))])
    assert_own(read(found)[0], NO_ARM, bundle_ids)


@pytest.mark.parametrize("options", [{"k": 0}, {"session_id": 5}, "no object"])
def test_what_is_no_request_is_refused_for_all_of_its_rows(search, experiment, settings, options):
    of_arm = people(experiment, settings, 1)
    good = [("milk", of_arm[label][0], {"k": 3}) for label in (TWIN_ARM, SERVED)]
    (refused, answered) = search.execute([request(*good, ("milk", "", options)), request(*good)])
    assert isinstance(refused, InvalidRequestError)
    assert len(read(answered)) == 2


def test_rows_that_are_shorter_are_padded_as_a_step_pads_them():
    parts = [
        ([2, 0], {"CANDIDATES": np.asarray([[5, 6], [7, 8]], np.int32), "FEATURES": np.ones((2, 2, 1), np.float32)}),
        ([1], {"CANDIDATES": np.asarray([[9]], np.int32), "FEATURES": np.zeros((1, 1, 1), np.float32)}),
    ]
    joined = join_rows(parts)
    assert joined["CANDIDATES"].tolist() == [[7, 8], [9, -1], [5, 6]]
    np.testing.assert_array_equal(joined["FEATURES"][:, :, 0], [[1, 1], [0, np.nan], [1, 1]])
    pairs = [([0], {"PAIR_IDS": np.ones((1, 1, 2), np.int64)}), ([1], {"PAIR_IDS": np.full((1, 1, 3), 5)})]
    assert join_rows(pairs, {"PAIR_IDS": 9})["PAIR_IDS"].tolist() == [[[1, 1, 9]], [[5, 5, 5]]]


def test_the_models_that_are_dealt_are_those_of_a_search():
    assert {"search", "preprocess", "retrieve", "finalize"} == DEALT_MODELS
    assert {tensor.name for tensor in SEARCH_OUTPUTS} == {"ITEM_ID", "SCORE", "ITEM", "STATUS"}


def test_a_server_answers_from_bundles_that_fit_and_are_not_its_own(experiment, tiny_bundle, twin, settings):
    served = Bundle.open(tiny_bundle)
    check_arms(experiment, served, "single_process", settings)
    assert arm_places(experiment) == [BundlePlace(Bundle.open(twin).id, str(twin))]
    for arm, words in (
        (Arm("other", 0.5, bundle=str(tiny_bundle)), "is the served bundle"),
        (Arm("other", 0.5, bundle=str(twin / "index")), "not readable"),
    ):
        with pytest.raises(ExperimentError, match="arm other: ") as raised:
            check_arms(Experiment("ab", [Arm("control", 0.5), arm]), served, "single_process", settings)
        assert words in str(raised.value)
    unfit = SimpleNamespace(id="b", spec=served.spec, manifest={"files": {}})
    with pytest.raises(ExperimentError, match=r"arm twin: .*differs from b"):
        check_arms(experiment, unfit, "single_process", settings)


def test_an_experiment_without_a_state_is_refused_since_nobody_would_be_in_an_arm(experiment, tiny_bundle):
    with pytest.raises(ExperimentError, match=r"experiment ab: found no state; allowed: .*--state sqlite:/path"):
        check_arms(experiment, Bundle.open(tiny_bundle), "single_process", None)


def test_an_arm_that_names_users_under_another_key_than_the_state_is_refused(twin, tiny_bundle, tmp_path):
    (tmp_path / "own.key").write_text("ab" * 32)
    state = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}", tmp_path / "own.key")
    nobody_named = replace(Bundle.open(tiny_bundle), manifest={**Bundle.open(tiny_bundle).manifest, "user_key": ""})
    arms = Experiment("ab", [Arm("control", 0.5), Arm("twin", 0.5, bundle=str(twin))])
    with pytest.raises(ExperimentError, match=r"arm twin: .*names users under the key [0-9a-f]{16}; allowed: [0-9a-f]"):
        check_arms(arms, nobody_named, "single_process", state)


def test_while_arms_have_bundles_the_served_one_stays(tmp_path, tiny_bundle):
    folder = SwitchFolder(tmp_path / "private" / "8001")
    folder.create(BundlePlace("a", str(tiny_bundle)))
    folder.note(ServerNote("single_process", arms=("b-twin",)))
    for switch in (lambda: promote_bundle(folder, tiny_bundle), lambda: rollback_bundle(folder)):
        with pytest.raises(SwitchError, match="an experiment compares the served bundle with b-twin"):
            switch()
