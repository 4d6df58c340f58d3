"""An error quotes its caller, but never so much that no wire would carry it."""

from __future__ import annotations

import pytest

from fuserank_ensemble.contract.errors import Description, InvalidRequestError, format_value
from fuserank_ensemble.contract.options import check_fields, parse_options


@pytest.mark.parametrize(
    "raw",
    [
        b'{"%s": 1}' % (b"x" * 60_000),
        b'{"context": {"%s": 1}}' % (b"\\u200b" * 10_000),
        b'{"k": "%s"}' % (b"\\u200b" * 10_000),
        b'{"language": "%s"}' % ("\U000e0001".encode() * 10_000),
    ],
)
def test_a_long_name_or_value_is_cut_and_its_length_told(raw):
    with pytest.raises(InvalidRequestError) as error:
        parse_options(raw)
    message = str(error.value)
    assert len(message) < 1_000
    assert "characters)" in message
    assert message.isprintable()
    assert len(error.value.field) < 250


def test_what_the_catalogue_has_not_is_cut_like_all_that_callers_write():
    with pytest.raises(InvalidRequestError) as error:
        check_fields(["x" * 60_000], {"title"})
    assert len(str(error.value)) < 500


def test_what_is_short_is_quoted_whole():
    assert str(InvalidRequestError("OPTIONS.k", 0, "1 to 200")) == "OPTIONS.k: found 0; allowed: 1 to 200"
    assert format_value(Description("3 ids")) == "3 ids"
    assert format_value("a" * 78) == f'"{"a" * 78}"'
