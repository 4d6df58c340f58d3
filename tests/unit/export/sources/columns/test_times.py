"""Moments are read as databases, trackers and mails write them; what is ambiguous is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fuserank_export.sources.columns.cells import CellError
from fuserank_export.sources.columns.times import is_zero_date, parse_epoch_seconds

MOMENT = int(datetime(2022, 7, 9, 18, 30, 5, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "text",
    [
        "2022-07-09 18:30:05 UTC",
        "2022-07-09T20:30:05+02:00[Europe/Berlin]",
        "2022-07-09T18:30:05Z[UTC]",
        "2022-07-09 06:30:05 PM",
        "2022-07-09 18:30:05.250000 UTC",
        "2022-07-09T18:30:05.000Z",
        "2022-07-09 20:30:05 +02:00",
        "2022-07-09 20:30:05 +0200",
        "2022-07-09 18:30:05 +0000 UTC",
        "2022-07-09 18:30:05+00",
        "2022/7/9 18:30:05",
        "Sat, 09 Jul 2022 18:30:05 GMT",
        "Sat Jul 09 2022 20:30:05 GMT+0200 (CEST)",
        "9 July 2022 6:30:05 PM",
        str(MOMENT),
        f"{MOMENT}.75",
        f"{MOMENT}123",
        f"{MOMENT}123456",
    ],
)
def test_one_moment_is_the_same_second_however_it_is_written(text):
    assert parse_epoch_seconds(text) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "07/09/2022",
        "09.07.2022",
        "July 2022",
        "2022-13-01",
        "2022-07-09 18:30 CST",
        "9 July 2022 18:30 IST",
        "20220709",
        "44751",
        44751.77,
        "9/7/22",
        "2022-07-09 13:30 PM",
    ],
)
def test_what_may_mean_two_moments_is_refused(text):
    with pytest.raises(CellError, match="timestamp"):
        parse_epoch_seconds(text)


@pytest.mark.parametrize(
    "text",
    [
        "0000-00-00",
        "0000-00-00 00:00:00",
        "0000-00-00T00:00:00Z",
        "2022-00-00",
        "2022-07-00",
        "0001-01-01 00:00",
        "-0001-11-30 00:00",
    ],
)
def test_zero_dates_are_no_dates(text):
    assert is_zero_date(text)


@pytest.mark.parametrize("text", ["2022-07-09", "1970-01-01", "0", "", None, 0, "2000-10-10 00:00:00"])
def test_other_dates_are_no_zero_dates(text):
    assert not is_zero_date(text)
