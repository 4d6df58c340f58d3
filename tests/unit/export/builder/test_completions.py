"""What few people have typed is suggested to nobody."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_ensemble.retrieval.lexical.suggest import Suggester
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.learn import write_completions
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions
from fuserank_export.builder.query_counts import (
    DELTA,
    ONE_USER,
    QUERIES_OF_A_USER,
    SUGGEST_MIN_USERS,
    QueryPrivacy,
    noisy_counts,
)
from fuserank_export.sources import InputError
from support.hand_log import make_log

TITLES = ["Oslo sofa", "Bergen lamp"]
SECRET = "jane doe 12 elm street"


def suggested(tmp_path, searches, least=SUGGEST_MIN_USERS, epsilon=None):
    """All phrases with their popularity, where each search is (query, user)."""
    queries = list(dict.fromkeys(query for query, _ in searches))
    log = make_log([(user, 0, number) for number, (_, user) in enumerate(searches)] or [(0, 0, 0)])
    asked = [queries.index(query) for query, _ in searches] or [-1]
    users = [f"u{user}" for user in range(1 + max((user for _, user in searches), default=0))]
    log = replace(log, query=np.asarray(asked, np.int32), queries=queries, user_ids=users)
    indexed = SimpleNamespace(titles=TITLES, items=SimpleNamespace(columns=None))
    privacy = QueryPrivacy(min_users=least, epsilon=epsilon)
    report = write_completions(
        tmp_path, indexed, np.ones(2, np.float32), log, {"oslo", "bergen", "sofa", "lamp"}, privacy
    )
    assert QueryPrivacy.from_report(report) == privacy
    return dict(Suggester.open(tmp_path / "suggest").complete("", 50))


def test_a_query_is_suggested_from_the_fifth_user_on(tmp_path):
    four = [(SECRET, user) for user in range(4)]
    assert SECRET not in suggested(tmp_path / "four", four)
    assert suggested(tmp_path / "five", [*four, (SECRET, 4)])[SECRET] == 5.0


def test_who_asks_again_and_again_is_one_user(tmp_path):
    assert SECRET not in suggested(tmp_path, [(SECRET, 0)] * 100)


def test_users_who_spell_a_query_differently_are_counted_together(tmp_path):
    searches = [("Red Shoes", 0), ("red shoes!", 1), ("red  shoes", 2), ("RED shoes", 3), ("red shoes", 4)]
    found = {phrase.lower().rstrip("!") for phrase in suggested(tmp_path / "five", searches)}
    assert "red shoes" in found
    found = {phrase.lower().rstrip("!") for phrase in suggested(tmp_path / "four", searches[:4] * 3)}
    assert "red shoes" not in found


def test_where_all_are_one_user_no_query_is_suggested_and_titles_are(tmp_path):
    assert set(suggested(tmp_path, [("milk", 0), ("bread", 0), (SECRET, 0)] * 10)) == set(TITLES)
    assert set(suggested(tmp_path / "none", [])) == set(TITLES)


@pytest.mark.parametrize("least", [1, 2, 10])
def test_the_number_of_users_is_an_option(tmp_path, least):
    enough = [("milk", user) for user in range(least)]
    assert "milk" in suggested(tmp_path / "enough", enough, least)
    assert "milk" not in suggested(tmp_path / "fewer", [("bread", 0), *enough[1:]], least) or least == 1


def test_with_differential_privacy_what_hundreds_ask_is_suggested_and_what_few_ask_is_not(tmp_path):
    """With an epsilon of 1 a query needs about 75 users, and one is told of 8 with a probability of 1e-6."""
    searches = [("Milk", user) for user in range(400)] + [(SECRET, user) for user in range(8)]
    found = suggested(tmp_path, searches, epsilon=1.0)
    assert SECRET not in found
    assert found["milk"] == pytest.approx(400, abs=100)


def test_with_differential_privacy_a_user_counts_for_few_queries(tmp_path):
    """Users who ask the same hundred queries lift five of them alone, whatever they ask."""
    queries = [f"query {number}" for number in range(100)]
    searches = [(query, user) for user in range(400) for query in queries]
    assert len(set(suggested(tmp_path, searches, epsilon=1.0)) & set(queries)) == QUERIES_OF_A_USER


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 4.0])
def test_what_is_told_of_one_user_is_within_epsilon_and_delta(epsilon):
    """OpenDP's own account of what is measured."""
    told, beyond = noisy_counts(epsilon).map(ONE_USER)
    assert told <= epsilon + 1e-9
    assert beyond <= DELTA


def test_where_opendp_is_missing_the_export_says_so_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "opendp.prelude", None)
    files = InputFiles(catalog=tmp_path / "none.csv", query_privacy=QueryPrivacy(epsilon=1.0))
    out = OutputOptions(folder=tmp_path / "bundle")
    with pytest.raises(
        InputError, match=r"--suggest-epsilon: OpenDP is not installed. Run: pip install 'fuserank\[priv"
    ):
        export_bundle(inputs=files, encoder=EncoderOptions(source="none"), out=out)
