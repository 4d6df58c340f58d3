"""The command on a log of a made experiment."""

from __future__ import annotations

import itertools
import json
import random

import pytest
import typer
from typer.testing import CliRunner

from fuserank_ensemble.contract.experiment import read_experiment
from fuserank_ensemble.state.entries import Interaction, ShadowList
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_evaluation.experiments.command import experiment as command

TOML = """
name = "e"
[[arms]]
name = "control"
share = 0.5
[[arms]]
name = "better"
share = 0.5
"""
CLICKS = {"e/control": 0.1, "e/better": 0.4}  # of each impression
PLACES = 3
app = typer.Typer()
app.command()(command)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "ab.toml"
    path.write_text(TOML)
    path.with_name("key").write_text("5e" * 32)  # the same people are in the same arms each time
    return path, f"sqlite:{tmp_path / 'log.sqlite'}"


def fill(shop, people, lost=0.0):
    """Writes a log in which each user sees a list and clicks; a share of the better arm's is never recorded."""
    path, place = shop
    state, described, draw = (
        State.open(StateSettings(place, path.with_name("key"))),
        read_experiment(path),
        random.Random(5),
    )
    names, entries, counts = itertools.count(), [], dict.fromkeys(CLICKS, 0)

    def add(kind, item, moment, user, **more):
        name = f"e{next(names)}"
        entries.append(Interaction(event_id=name, event=kind, item_id=item, timestamp=moment, user=user, **more))

    for number in range(people):
        user = state.key.user(f"u{number}")
        label = described.label(described.assign(user))
        if label == "e/better" and draw.random() < lost:
            continue
        counts[label] += 1
        for place_in_list in range(1, PLACES + 1):
            add("impression", f"i{place_in_list}", number, user, position=place_in_list, arm=label)
        for place_in_list in range(1, PLACES + 1):
            if draw.random() < CLICKS[label]:
                add("click", f"i{place_in_list}", number + 1, user)
        if number % 10 == 0:
            add("purchase", "i2", number + 2, user)
    state.log.append(entries)
    state.log.close()
    return counts


def run(shop, *more):
    path, place = shop
    return CliRunner().invoke(
        app,
        [str(path), "--state", place, "--state-key-file", str(path.with_name("key")), *more],
        env={"COLUMNS": "200"},
    )


def test_arms_are_compared_with_intervals_and_a_test_for_any_time(shop):
    counts = fill(shop, 400)
    result = run(shop, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    control, better = report["arms"]
    assert [(arm["arm"], arm["people"], arm["lists"]) for arm in report["arms"]] == [
        (label, counts[label], counts[label]) for label in CLICKS
    ]
    clicks = better["metrics"]["click_through"]
    assert clicks["low"] < CLICKS["e/better"] < clicks["high"]
    assert clicks["difference"]["value"] == pytest.approx(
        clicks["value"] - control["metrics"]["click_through"]["value"]
    )
    assert clicks["difference"]["sequential_low"] > 0
    assert clicks["difference"]["sequential_p"] < 0.001
    assert better["metrics"]["conversion"]["difference"]["sequential_p"] > 0.05  # it is the same in both
    assert 0 < control["metrics"]["ndcg_at_10"]["value"] <= 1
    assert "difference" not in control["metrics"]["click_through"]
    assert report["sample_ratio_mismatch"] is False
    printed = run(shop).output
    assert "e/better" in printed
    assert "click_through" in printed


def test_people_who_are_missing_from_an_arm_are_an_alarm(shop):
    fill(shop, 600, lost=0.4)
    result = run(shop, "--json")
    assert result.exit_code == 1
    assert "ALARM: sample-ratio mismatch" in result.output


def test_people_of_several_arms_and_lists_of_none_are_left_out_and_counted(shop):
    counts = fill(shop, 100)
    state = State.open(StateSettings(shop[1], shop[0].with_name("key")))
    users = [state.key.user(f"u{number}") for number in range(4)]
    shown = [
        Interaction(event_id="x1", event="impression", item_id="a", timestamp=1, user=users[0], position=1, arm=arm)
        for arm in ("e/control", "e/better")
    ]
    other = Interaction(event_id="x3", event="impression", item_id="a", timestamp=1, user=b"n", position=1, arm="f/x")
    first, second = shown
    state.log.append([first, Interaction(**{**_fields(second), "event_id": "x2"}), other])
    state.log.close()
    report = json.loads(run(shop, "--json").output)
    assert report["people_of_several_arms"] == 1
    assert report["other_lists"] == {"f/x": 1}
    assert sum(arm["people"] for arm in report["arms"]) == sum(counts.values()) - 1


def _fields(entry):
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def test_lists_in_the_shadow_say_how_differently_the_other_arm_answers(shop):
    state = State.open(StateSettings(shop[1], shop[0].with_name("key")))
    lists = [(["a", "b"], ["b", "a"]), (["a", "b"], ["a", "c"]), ([], ["a"])]
    more = {"timestamp": 1.0, "bundle": "b1", "arm": "e/control", "shadow": "e/better"}
    state.log.append([
        ShadowList(event_id=f"s{n}", user=b"u", shown=shown, items=items, **more)
        for n, (shown, items) in enumerate(lists)
    ] + [ShadowList(event_id="other", shown=["a"], items=["a"], **{**more, "arm": "f/x"})])  # fmt: skip
    state.log.close()
    assert json.loads(run(shop, "--json").output)["shadows"] == [
        {"arm": "e/control", "shadow": "e/better", "lists": 2, "overlap": 0.75, "same_first": 0.5}
    ]
    assert "e/better in the shadow of e/control: 2 lists" in run(shop).output


def test_an_empty_log_says_nothing_and_raises_no_alarm(shop):
    State.open(StateSettings(shop[1], shop[0].with_name("key"))).log.close()
    result = run(shop, "--json")
    assert result.exit_code == 0
    assert [arm["metrics"]["click_through"]["value"] for arm in json.loads(result.output)["arms"]] == [None, None]
    assert run(shop).exit_code == 0


def test_what_cannot_be_read_is_an_error(shop, tmp_path):
    path, place = shop
    missing = CliRunner().invoke(app, [str(path), "--state", place])
    assert (missing.exit_code, "there is no such file" in missing.output) == (1, True)
    bad = CliRunner().invoke(app, [str(tmp_path / "no.toml"), "--state", place])
    assert (bad.exit_code, "fuserank experiment: experiment" in bad.output) == (1, True)
