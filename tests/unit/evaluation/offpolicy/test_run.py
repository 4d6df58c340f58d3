"""The command on a log that a bundle's own exploration filled."""

from __future__ import annotations

import itertools
import json

import pytest
from typer.testing import CliRunner

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_evaluation.cli import app
from fuserank_evaluation.offpolicy.target import read_options
from support.tiny_shop import LOG_END

K, LISTS = 4, 60
MOMENT = LOG_END.timestamp() + 3_600


@pytest.fixture(scope="module")
def logged(tiny_bundle, tmp_path_factory):
    """A log of searches of the shop's users that explored at the last place, and of what they clicked there."""
    state = State.open(StateSettings(f"sqlite:{tmp_path_factory.mktemp('offpolicy') / 'log.sqlite'}"))
    graph, names = LocalGraph(Bundle.open(tiny_bundle)), itertools.count()
    impressions, clicks = [], []

    def event(kind, item, moment, user, **more):
        return Interaction(event_id=f"e{next(names)}", event=kind, item_id=item, timestamp=moment, user=user, **more)

    for number in range(LISTS):
        user, moment = f"u{number % 12:02}", MOMENT + number
        answer = graph.search(
            "", user, k=K, context={"timestamp": moment}, explore={"rate": 0.3, "seed": number, "max_events": 1_000}
        )
        items = [item.decode() for item in answer["ITEM_ID"][0]]
        propensities = [json.loads(item)["propensity"] for item in answer["ITEM"][0]]
        hashed = state.key.user(user)
        for place, (item, propensity) in enumerate(zip(items, propensities, strict=True), start=1):
            more = {"position": place, "propensity": propensity}
            impressions.append(event("impression", item, moment, hashed, bundle=graph.bundle.id, **more))
        clicks.append(event("click", items[number % K], moment + 1, hashed))
    state.log.append([*impressions, *clicks])
    state.log.close()
    return state


def run(tmp_path, monkeypatch, bundle, logged, *more):
    monkeypatch.chdir(tmp_path)
    place = f"sqlite:{logged.log._path}"
    return CliRunner().invoke(
        app, ["offpolicy", "--bundle", str(bundle), "--state", place, "--places", str(K), *more], env={"COLUMNS": "200"}
    )


def test_the_logging_bundle_without_exploring_is_estimated(tmp_path, monkeypatch, tiny_bundle, logged):
    result = run(tmp_path, monkeypatch, tiny_bundle, logged, "--least-sample", "20", "--least-support", "0.7")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "build/reports/offpolicy.json").read_text())
    assert (report["lists"], report["people"], report["lists_before_bundle"]) == (LISTS, 12, 0)
    assert report["logged"] == 1.0  # one click a list
    # At the first places it shows what was logged; at the last, where that was not explored.
    assert 0.7 <= report["support"] <= 1.3
    assert report["snips_low"] < report["snips"] < report["snips_high"]
    assert report["doubly_robust"] == pytest.approx(report["snips"], abs=0.15)
    assert "doubly_robust" in result.output


def test_an_answer_that_the_log_could_not_show_is_refused(tmp_path, monkeypatch, tiny_bundle, logged):
    refused = run(
        tmp_path, monkeypatch, tiny_bundle, logged, "--options", '{"filter": {"brand": "Acme"}}', "--lists", "12"
    )
    assert refused.exit_code == 1
    assert "no estimate: at place" in refused.output
    report = json.loads((tmp_path / "build/reports/offpolicy.json").read_text())
    assert report["snips"] is None
    assert report["lists"] == 12


def test_lists_that_nothing_can_be_said_of_are_an_error(tmp_path, monkeypatch, tiny_bundle, logged):
    result = run(tmp_path, monkeypatch, tiny_bundle, logged, "--options", '{"k": 3}')
    assert (result.exit_code, "options.k" in result.output) == (1, True)
    result = run(tmp_path, monkeypatch, tiny_bundle, logged, "--reward", "views")
    assert (result.exit_code, "reward: found 'views'" in result.output) == (1, True)


def test_options_are_an_object():
    with pytest.raises(ValueError, match="a JSON object"):
        read_options("[]")
    assert read_options('{"objective": {"click": 1}}') == {"objective": {"click": 1}}
