from __future__ import annotations

from collections import Counter

import pytest

from fuserank_ensemble.contract.controls import Explore
from fuserank_ensemble.contract.experiment import (
    PLACE,
    Arm,
    Experiment,
    ExperimentError,
    experiment_from_environment,
    read_experiment,
)
from fuserank_ensemble.contract.options import Objective, Options, parse_options
from fuserank_ensemble.state.identity import IdentityKey

KEY = IdentityKey(b"k" * 32)
TOML = """
name = "purchase-first"
[[arms]]
name = "control"
share = 0.5
[[arms]]
name = "purchase"
share = 0.25
objective = {purchase = 1}
diversity = 0.3
explore = {rate = 0.2, slots = [3, 9]}
[[arms.rules]]
boost = 1
filter = {brand = "Acme"}
[[arms.rules]]
pin = 8
item_ids = ["i01"]
"""


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "ab.toml"
    path.write_text(TOML)
    return read_experiment(path)


def subjects(count):
    return [KEY.user(f"u{number}") for number in range(count)]


def test_users_are_dealt_by_shares_and_stay_where_they_are(experiment):
    arms = [experiment.assign(subject) for subject in subjects(8_000)]
    assert arms == [experiment.assign(subject) for subject in subjects(8_000)]
    counts = Counter(arm.name if arm else "" for arm in arms)
    assert counts["control"] == pytest.approx(4_000, abs=200)  # 4.5 standard deviations
    assert counts["purchase"] == pytest.approx(2_000, abs=175)
    assert counts[""] == pytest.approx(2_000, abs=175)


def test_another_experiment_deals_users_anew(experiment):
    other = Experiment("next", experiment.arms)
    both = Counter(
        (experiment.assign(subject).name, other.assign(subject).name)
        for subject in subjects(8_000)
        if experiment.assign(subject) and other.assign(subject)
    )
    # Of the control of one, two thirds are in the control of the other as well.
    assert both["control", "control"] / (both["control", "control"] + both["control", "purchase"]) == pytest.approx(
        2 / 3, abs=0.05
    )


def test_an_arm_sets_what_the_request_does_not(experiment):
    _, arm = experiment.arms
    plain = arm.apply(parse_options(b'{"k": 5}'))
    assert plain.objective == Objective(purchase=1)
    assert plain.diversity == 0.3
    assert [rule.kind for rule in plain.rules] == ["boost"]  # place 8 is beyond the list
    assert plain.explore == Explore(rate=0.2, slots=[3])
    assert len(arm.apply(Options(k=8)).rules) == 2
    assert arm.apply(Options(k=2)).explore is None
    raw = b'{"objective": {"click": 1}, "diversity": 0.1, "rules": [{"bury": 1, "filter": {}}], "explore": {"rate": 0}}'
    own = parse_options(raw)
    assert arm.apply(own) == own
    assert experiment.arms[0].apply(Options()) == Options()
    assert experiment.label(arm) == "purchase-first/purchase"


def test_an_arm_leaves_other_orders_and_explores_on_first_pages_alone(experiment):
    _, arm = experiment.arms
    by_price = arm.apply(parse_options(b'{"sort": "price_asc"}'))
    assert (by_price.objective, by_price.diversity, by_price.rules) == (Objective(purchase=1), 0.0, [])
    assert arm.apply(parse_options(b'{"offset": 0}')).explore == Explore(rate=0.2, slots=[3, 9])
    assert arm.apply(parse_options(b'{"offset": 10}')).explore is None
    assert arm.apply(parse_options(b'{"exposure": {"brand": {"max_share": 0.2}}}')).explore is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name = \"purchase-first\"", "name = \"a b\""), "name: found 'a b'; allowed: 1 to 32 letters"),
        (("name = \"purchase\"", "name = \"control\""), "arms: found the names control, control; allowed: each"),
        (("share = 0.25", "share = 0.6"), "arms: found shares that sum up to 1.1; allowed: 1 at most"),
        (("share = 0.25", "share = 0"), "arms[1].share"),
        (("{purchase = 1}", "{purchase = 0}"), "arms[1].objective: found no finite weight above 0"),
        (("slots = [3, 9]", "seed = 1"), "arms[1].explore.seed"),
        (("objective =", "objectiv ="), "objectiv"),
        (("[[arms]]", "[[arm]]"), "arm"),
        (("rate = 0.2", "rate = "), "Invalid value"),
        (("share = 0.5", "share = 0.5\nbundle = \"next\""), "arms[0].bundle: the served bundle answers the control"),
        (
            ("\n[[arms]]\nname = \"control\"", "\nshadow = 0.1\n[[arms]]\nname = \"next\"\nshare = 0.1\n"
             "[[arms]]\nbundle = \"next\"\nname = \"control\""), "shadow: found beside an arm with a bundle",
        ),
    ],
)  # fmt: skip
def test_an_experiment_that_cannot_be_run_is_named(tmp_path, change, message):
    path = tmp_path / "ab.toml"
    path.write_text(TOML.replace(*change))
    with pytest.raises(ExperimentError) as raised:
        read_experiment(path)
    assert str(raised.value).startswith(f"experiment {path}: ")
    assert message in str(raised.value)


def test_a_bundle_lies_beside_the_file_unless_its_place_is_named_whole(tmp_path):
    path = tmp_path / "ab.toml"
    path.write_text(TOML.replace("share = 0.25", 'share = 0.25\nbundle = "next"'))
    experiment = read_experiment(path)
    assert [arm.bundle for arm in experiment.arms] == ["", str(tmp_path / "next")]
    assert experiment.has_bundles
    path.write_text(TOML.replace("share = 0.25", 'share = 0.25\nbundle = "/bundles/next"'))
    assert read_experiment(path).arms[1].bundle == "/bundles/next"


def test_the_environment_names_the_file(tmp_path):
    assert experiment_from_environment({}) is None
    with pytest.raises(ExperimentError, match=r"missing\.toml"):
        experiment_from_environment({PLACE: str(tmp_path / "missing.toml")})
    path = tmp_path / "ab.toml"
    path.write_text(TOML)
    assert experiment_from_environment({PLACE: str(path)}).arms[0] == Arm("control", 0.5)
