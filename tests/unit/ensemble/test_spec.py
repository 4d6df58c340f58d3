"""The spec round-trips through a manifest, and one that cannot describe a working graph is refused by setting."""

from __future__ import annotations

import json

import pytest

from fuserank_ensemble.spec import GraphSpec, SpecError


@pytest.mark.parametrize(
    "spec",
    [
        GraphSpec(),
        GraphSpec(
            embedding_dim=7,
            length_buckets=(5,),
            candidate_buckets=(3, 9),
            candidates=9,
            query_template="查询: {query}",
            objective={"purchase": 2.5},
            default_fields=(),
            clock="log",
            ranked_kinds=("both", "discover"),
            channel_depth=7,
            channel_weights={"query": {"dense": 2.5, "lexical": 0.0}, "both": {}, "user": {"new": 1}, "similar": {}},
            lexical_fields={"title": 2.0, "名称": 0.5},
        ),
    ],
)
def test_a_spec_survives_the_way_into_a_manifest_and_back(spec):
    assert GraphSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_an_unknown_setting_names_the_nearest_known_one():
    with pytest.raises(SpecError, match=r"spec\.candidate: unknown setting; .*did you mean 'candidates'\?"):
        GraphSpec.from_dict({"candidate": 64})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("length_buckets", ()),
        ("length_buckets", (32, 16)),
        ("length_buckets", (16, 16)),
        ("length_buckets", (0, 16)),
        ("candidate_buckets", (-128, 128)),
        ("candidates", 100),
        ("query_template", "query: "),
        ("text_candidates", -1),
        ("text_candidates", 33),
        ("events", 0),
        ("host_cores", 257),
    ],
)
@pytest.mark.parametrize("read", [lambda values: GraphSpec(**values), GraphSpec.from_dict])
def test_settings_that_cannot_work_are_refused_with_what_they_held(setting, value, read):
    with pytest.raises(SpecError, match=rf"spec\.{setting}: found .*; allowed: ") as error:
        read({setting: value})
    assert str(value) in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"embedding_dim": "wide"},
        {"length_buckets": 16},
        {"clock": "sun"},
        {"objective": {"click": "much"}},
        {"ranked_kinds": ["everything"]},
    ],
)
def test_a_manifest_with_a_setting_of_the_wrong_type_is_refused_with_its_path(values):
    with pytest.raises(SpecError, match=next(iter(values))):
        GraphSpec.from_dict(values)


WEIGHTS = GraphSpec().channel_weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, r"spec\.channel_weights: found weights for \[\]; allowed: for each of query, both, user, similar"),
        ({"query": {}}, r"spec\.channel_weights: found weights for \['query'\]"),
        ({**WEIGHTS, "search": {}}, r"spec\.channel_weights: found weights for .*'search'"),
        ({**WEIGHTS, "user": {"popular": 1.0}}, r"spec\.channel_weights\.user\.popular: unknown; known: "),
        (
            {**WEIGHTS, "query": {"lexicl": 1.0}},
            r"spec\.channel_weights\.query\.lexicl: unknown; .*did you mean 'lexical'\?",
        ),
        ({**WEIGHTS, "both": {"dense": -0.5}}, r"spec\.channel_weights\.both\.dense: found -0\.5; allowed: 0 or more"),
        ({**WEIGHTS, "both": {"dense": float("nan")}}, r"spec\.channel_weights\.both\.dense: found nan"),
        ({**WEIGHTS, "both": {"dense": float("inf")}}, r"spec\.channel_weights\.both\.dense: found inf"),
    ],
)
@pytest.mark.parametrize("read", [lambda values: GraphSpec(**values), GraphSpec.from_dict])
def test_weights_of_channels_that_cannot_work_are_refused_by_kind_and_channel(weights, message, read):
    with pytest.raises(SpecError, match=message):
        read({"channel_weights": weights})


@pytest.mark.parametrize(
    "values",
    [
        {"channel_weights": {**WEIGHTS, "user": {"new": "much"}}},
        {"channel_weights": []},
        {"lexical_fields": {"a": "b"}},
    ],
)
def test_weights_of_the_wrong_type_are_refused_with_their_path(values):
    with pytest.raises(SpecError, match=next(iter(values))):
        GraphSpec.from_dict(values)


def test_changing_one_specs_weights_leaves_those_of_the_next_alone():
    GraphSpec().channel_weights["query"]["dense"] = 99.0
    assert GraphSpec().channel_weights == WEIGHTS


def test_a_script_that_nobody_knows_is_named_with_the_nearest():
    with pytest.raises(SpecError, match=r"spec\.unread_scripts: found hann; known: .*did you mean 'han'"):
        GraphSpec(unread_scripts=("hann",))
