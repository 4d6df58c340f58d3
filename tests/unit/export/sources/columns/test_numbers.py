"""Numbers are read as people write them where a decimal mark is declared, and refused with the option otherwise."""

from __future__ import annotations

import pytest

from fuserank_export.sources.columns.cells import CellError
from fuserank_export.sources.columns.numbers import DecimalMarkProof, parse_number, parse_price


@pytest.mark.parametrize(
    ("text", "mark", "number"),
    [
        ("2.499,90 €", "comma", 2499.9),
        ("EUR 12,5", "comma", 12.5),
        ("1\u202f234\u202f567,8", "comma", 1234567.8),
        ("kr. 99", "comma", 99.0),
        ("−3,25", "comma", -3.25),
        ("1.299", "comma", 1299.0),
        ("$2,499.90", "point", 2499.9),
        ("15.00 USD", "point", 15.0),
        ("CHF 1'234.50", "point", 1234.5),
        ("Rs. 1,299.00", "point", 1299.0),
        ("1,299", "point", 1299.0),
        ("7", "point", 7.0),
        ("12,- €", "comma", 12.0),
        ("Fr. 12.–", "point", 12.0),
        ("₹1,23,456.50", "point", 123456.5),
        ("19元", "point", 19.0),
        ("RMB 1,299.00", "point", 1299.0),
        ("120円", "point", 120.0),
    ],
)
def test_thousands_and_currencies_are_read_under_a_declared_mark(text, mark, number):
    assert parse_number(text, mark) == number


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("1.50", "comma"), ("12,34", "point"), ("1,5 kg", "comma"), ("10 %", "point"), ("1.23.456", "comma"),
        ("12-15", "point"), ("1_000", "comma"), ("1e5", "comma"), ("5 to 7", "point"), ("1.234 567", "comma"),
    ],
)  # fmt: skip
def test_what_is_no_number_under_the_mark_is_refused(text, mark):
    with pytest.raises(CellError, match=f"allowed by --decimal {mark}"):
        parse_number(text, mark)


def test_without_a_mark_the_message_names_the_option_and_what_it_reads():
    with pytest.raises(CellError, match=r"--decimal comma reads 1\.234,50 €; --decimal point reads \$1,234\.50"):
        parse_price("8,95")
    with pytest.raises(CellError) as caught:
        parse_price("free")
    assert "--decimal" not in caught.value.detail


def test_a_price_on_request_takes_no_proof_from_the_others():
    proof = DecimalMarkProof()
    for text in ("$1,299.00", "Call for price", "$999.00"):
        proof.add(text)
    assert proof.mark == "point"
