"""Dates with the year at the end are read where the column as a whole proves their order, or where it is declared."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fuserank_export.sources import InputError, read_catalog, read_interactions
from fuserank_export.sources.columns.cells import CellError
from fuserank_export.sources.columns.dates import DateOrderProof
from fuserank_export.sources.columns.times import parse_epoch_seconds
from fuserank_export.sources.reading import parse_reading
from fuserank_export.sources.users import read_users

NOW = 1_800_000_000


def epoch(*moment):
    return int(datetime(*moment, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("31/12/2023", (2023, 12, 31)),
        ("3/4/2021", (2021, 4, 3)),
        ("03.04.2021 14:05", (2021, 4, 3, 14, 5)),
        ("03-04-2021 14:05:06.5", (2021, 4, 3, 14, 5, 6)),
        ("3/4/2021 2:05 PM", (2021, 4, 3, 14, 5)),
        ("3/4/2021, 14:05", (2021, 4, 3, 14, 5)),
        ("03/04/2021 14:05 UTC", (2021, 4, 3, 14, 5)),
        ("03/04/2021 14:05 +02:00", (2021, 4, 3, 12, 5)),
    ],
)
def test_a_declared_order_reads_a_date_however_its_parts_are_joined(text, moment):
    assert parse_epoch_seconds(text, "day-first") == epoch(*moment)


@pytest.mark.parametrize("text", ["12/31/2023", "31/12/23", "31/02/2023", "0/4/2021", "3/4-2021", "3/4/2021 x"])
def test_what_is_no_date_in_that_order_is_refused(text):
    with pytest.raises(CellError, match="unreadable timestamp"):
        parse_epoch_seconds(text, "day-first")


def test_without_an_order_the_message_names_the_option():
    with pytest.raises(CellError, match=r"--dates day-first reads 31/12/2023; --dates month-first reads 12/31/2023"):
        parse_epoch_seconds("3/4/2021")


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["3/4/2021", "13/4/2021"], "day-first"),
        (["3/4/2021", "4/13/2021"], "month-first"),
        (["3/4/2021", "2021-04-13"], None),
        (["13/4/2021", "4/13/2021"], None),
        ([], None),
    ],
)
def test_an_order_is_proven_by_a_day_above_12_and_no_month(cells, order):
    proof = DateOrderProof()
    for cell in cells:
        proof.add(cell)
    assert proof.order == order


def log_rows(last):
    dates = [f"{1 + n % 12:02}/{1 + n % 11:02}/2023" for n in range(40)]
    dates += [last] if last else []
    return [{"user_id": "u", "item_id": "a", "event": "view", "timestamp": date} for date in dates]


def test_a_date_far_behind_proves_the_order_of_all(write_csv):
    path = write_csv(log_rows("25/12/2023 10:00"))
    log = read_interactions(path, ["a"], now=NOW, chunk_rows=7)
    assert log.timestamp.max() == epoch(2023, 12, 25, 10)
    assert epoch(2023, 1, 2) not in log.timestamp.tolist()  # 01/02/2023
    assert "timestamp has dates with the day first, as '25/12/2023 10:00' shows" in str(log.report)
    american = read_interactions(write_csv(log_rows("12/25/2023")), ["a"], now=NOW, chunk_rows=7)
    assert american.timestamp.max() == epoch(2023, 12, 25)


def test_dates_that_prove_nothing_end_the_run_with_the_option_that_reads_them(write_csv):
    path = write_csv(log_rows(None))
    with pytest.raises(InputError, match="--dates day-first reads 31/12/2023"):
        read_interactions(path, ["a"], now=NOW)
    log = read_interactions(path, ["a"], now=NOW, reading=parse_reading(dates=["timestamp=day-first"]))
    assert log.timestamp[0] == epoch(2023, 1, 1)
    assert log.report.kept == 40


def test_catalogues_and_users_have_dates_of_their_own(write_csv):
    items = [{"item_id": str(n), "title": f"Mug {n}", "created_at": f"{n}.01.2023", "sold": f"1/{n}/2023"}
             for n in range(1, 28)]  # fmt: skip
    catalog = read_catalog(write_csv(items), now=NOW, reading=parse_reading(types=["sold=time"]))
    by_id = catalog.items.set_index("item_id")
    assert by_id.loc["27", "created_at"] == epoch(2023, 1, 27)
    assert by_id.loc["27", "sold"] == epoch(2023, 1, 27)  # the other order
    users, _ = read_users(write_csv([{"user_id": "a", "since": "27/1/2023", "tier": "x"},
                                     {"user_id": "b", "since": "1/2/2023", "tier": "y"}]))  # fmt: skip
    assert users.since.tolist() == [epoch(2023, 1, 27), epoch(2023, 2, 1)]


def test_prices_are_read_with_the_mark_that_their_column_proves(write_csv):
    def prices(*cells):
        rows = [{"item_id": str(n), "title": f"Mug {n}", "price": cell} for n, cell in enumerate(cells)]
        catalog = read_catalog(write_csv(rows), chunk_rows=2)
        return catalog.items.set_index("item_id").loc[[str(n) for n in range(len(cells))], "price"].tolist(), catalog

    assert prices("1,500", "12", "0,10", "N/A")[0][:3] == [1.5, 12, 0.1]
    found, catalog = prices("1.234,50 €", "12 €", "0,99 €")
    assert found == [1234.5, 12, 0.99]
    assert "price has numbers with a decimal comma, as '1.234,50 €' shows; --decimal price=point" in str(catalog.report)
    assert prices("$1,234.50", "$12")[0] == [1234.5, 12]
    assert prices("￥3.50", "12元", "RMB 7")[0] == [3.5, 12, 7]
    # Whole numbers are the same under either mark.
    found, catalog = prices("19元", "25元")
    assert found == [19, 25]
    assert "price has whole numbers with a currency, as '19元' shows" in str(catalog.report)
    for undecided in (("1,500", "2,500"), ("1,50", "2.50"), ("1,50 €", "$2"), ("10 €", "$2"), ("$1,500", "$2,500")):
        with pytest.raises(InputError, match="--decimal comma reads"):
            prices(*undecided)
