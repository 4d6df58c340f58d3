"""The spec round-trips through a manifest, and one that cannot describe a working graph is refused by setting."""

from __future__ import annotations

import json

import pytest

from ensemble.spec import GraphSpec, SpecError


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
    ],
)
@pytest.mark.parametrize("read", [lambda values: GraphSpec(**values), GraphSpec.from_dict])
def test_settings_that_cannot_work_are_refused_with_what_they_held(setting, value, read):
    with pytest.raises(SpecError, match=rf"spec\.{setting}: found .*; allowed: ") as error:
        read({setting: value})
    assert str(value) in str(error.value)


@pytest.mark.parametrize(
    "values", [{"embedding_dim": "wide"}, {"length_buckets": 16}, {"clock": "sun"}, {"objective": {"click": "much"}}]
)
def test_a_manifest_with_a_setting_of_the_wrong_type_is_refused_with_its_path(values):
    with pytest.raises(SpecError, match=next(iter(values))):
        GraphSpec.from_dict(values)
