"""Whatever a shop's files hold, an export ends with a bundle that serves all it kept, or an error that says why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.sources import InputError
from support.exporting import export_quickly
from support.tiny_shop import write_csv

TITLES = ("whole milk", "goat cheese", "oat drink", "绿茶", "dish soap", "light bulb")
LONG = "milk " * 20_480  # 100 kB
# What is kept, and the title that it is kept with.
ODD = {
    "long": ({"title": LONG}, LONG.strip()),
    "control": ({"title": "soy\x07 drink\x1b\u0085now"}, "soy  drink  now"),
    "emoji": ({"title": "👩‍🌾🥛"}, "👩‍🌾🥛"),
    "marks": ({"title": "!!! --- ???"}, "!!! --- ???"),
    "syntax": ({"title": '"AND (title:* OR ~'}, '"AND (title:* OR ~'),
    "free": ({"title": "gift card", "price": "0"}, "gift card"),
    "tomorrow": ({"title": "rice drink", "created_at": "2999-01-01"}, "rice drink"),
    # Across items no cycle arises: a category is its whole path.
    "above": ({"title": "jam", "category": "A > B"}, "jam"),
    "below": ({"title": "jelly", "category": "B > A"}, "jelly"),
    "repeated": ({"title": "soy drink", "category": "Drinks > Drinks"}, "soy drink"),
}
BAD = {
    "no title": ({"title": ""}, "title: missing"),
    "blank title": ({"title": " \t "}, "title: missing"),
    "title of control characters": ({"title": "\x01\x02"}, "title: missing"),
    "below zero": ({"title": "refund", "price": "-0.01"}, "price: negative"),
    "no number": ({"title": "soap", "price": "cheap"}, "price: not a number"),
    "nul": ({"title": "soap\x00"}, "row: holds a NUL byte"),
    "cycle": ({"title": "soup", "category": "A > B > A"}, "category: category cycle"),
    "a day that is none": ({"title": "soap", "created_at": "2024-02-30"}, "created_at: unreadable timestamp"),
}
COLUMNS = {"item_id": "", "title": "", "category": "", "price": "", "created_at": ""}


def sound():
    return [COLUMNS | {"item_id": f"ok{number}", "title": title} for number, title in enumerate(TITLES)]


def event(item="ok0", user="ann", age=SECONDS_PER_DAY, **more):
    moment = datetime.now(UTC) - timedelta(seconds=age)
    return {"user_id": user, "item_id": item, "event": "view", "timestamp": moment.isoformat()} | more


@pytest.fixture
def export_shop(tiny_encoder, tmp_path):
    """Exports rows, and returns the bundle's folder."""

    def exported(items, events=None, **settings):
        catalog = write_csv(tmp_path / "items.csv", items)
        log = None if events is None else write_csv(tmp_path / "events.csv", events)
        return export_quickly(catalog, tiny_encoder, tmp_path / "bundle", interactions=log, **settings)

    return exported


def ids(graph, query="", user="", **options):
    return [item.decode() for item in graph.search(query, user, **options)["ITEM_ID"][0] if item]


def rejected(out, what):
    return [json.loads(line) for line in out.with_name(f"{out.name}.rejected-{what}.jsonl").read_text().splitlines()]


def assert_adds_up(summary):
    assert summary["read"] == summary["kept"] + summary["bad"] + summary["unknown_item"]
    assert summary["bad"] == sum(summary["reasons"].values())


@pytest.fixture(scope="module")
def museum():
    """Rows that are sound, odd and bad, and the events with them."""
    items = sound()
    items += [COLUMNS | {"item_id": name} | row for name, (row, _) in ODD.items()]
    items += [COLUMNS | {"item_id": name} | row for name, (row, _) in BAD.items()]
    items += [items[0] | {"title": "another milk"}, items[0]]
    events = [event(), event("long"), event("emoji", "李雷"), event("no title"), event("gone"), event("gone", "bob")]
    events += [event(age=-3 * SECONDS_PER_DAY), event(timestamp="soon"), event(event="purchse"), event(user="")]
    return items, events


def test_every_row_is_kept_or_reported_and_all_that_was_kept_is_found(export_shop, museum):
    items, events = museum
    out = export_shop(items, events, max_bad_rows=0.5, text_template="{title} | {category}")
    bundle = Bundle.open(out)
    catalog, log = bundle.manifest["inputs"]["catalog"], bundle.manifest["inputs"]["interactions"]
    assert (catalog["read"], catalog["kept"], catalog["bad"]) == (len(items), len(TITLES) + len(ODD), len(BAD) + 2)
    assert (log["read"], log["kept"], log["bad"], log["unknown_item"]) == (10, 3, 4, 3)
    assert log["unknown_item_examples"] == ["gone", "no title"]
    for summary in (catalog, log):
        assert_adds_up(summary)
    expected = {reason: 0 for _, reason in BAD.values()}
    for _, reason in BAD.values():
        expected[reason] += 1
    assert catalog["reasons"] == expected | {"item_id: duplicate": 2}
    assert log["reasons"] == {
        "timestamp: in the future": 1,
        "timestamp: unreadable timestamp": 1,
        "event: unknown event": 1,
        "user_id: missing": 1,
    }
    assert catalog["cleaned"] == 1
    assert catalog["warnings"] == {"created_at in the future": 1}
    assert {row["line"]: row["column"] for row in rejected(out, "interactions")} == {
        8: "timestamp", 9: "timestamp", 10: "event", 11: "user_id",
    }  # fmt: skip
    assert len(rejected(out, "catalog")) == catalog["bad"]

    kept = {f"ok{number}": title for number, title in enumerate(TITLES)}
    kept |= {name: title for name, (_, title) in ODD.items()}
    assert bundle.manifest["counts"]["items"] == len(kept)
    for item, title in kept.items():
        assert json.loads(bundle.records.raw(bundle.items.row(item)))["title"] == title
    graph = LocalGraph(bundle)
    for query, user in (("milk", ""), ("", "anybody"), ("", "李雷"), ("milk", "ann")):
        assert set(ids(graph, query, user, k=200)) == set(kept)
    for item, title in kept.items():
        query = title[:200]
        assert item in ids(graph, query, k=len(kept)), item
        assert ids(graph, query, filter={"price": 0}) == ["free"]
    assert ids(graph, "绿茶", k=1) == ["ok3"]
    assert ids(graph, "jam", filter={"category": "A"}) == ["above"]
    # What comes in some centuries is no novelty yet.
    outputs = graph.search("", "anybody", k=200)
    assert json.loads(outputs["STATUS"][0, 0])["candidates"]["new"] < len(kept)


def test_too_many_bad_rows_end_the_export_with_reasons_and_nothing_but_their_list(export_shop, museum, tmp_path):
    items, events = museum
    with pytest.raises(InputError, match=r"items\.csv: 10 of 26 rows \(38\.5%\) are bad; allowed: 5\.0%\. Reasons: "):
        export_shop(items, events)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bundle.rejected-catalog.jsonl", "events.csv", "items.csv",
    ]  # fmt: skip
    assert len(rejected(tmp_path / "bundle", "catalog")) == 10


@pytest.mark.parametrize("name", BAD)
def test_each_bad_row_alone_is_named_with_its_line_and_the_rest_is_exported(export_shop, tmp_path, monkeypatch, name):
    """Reading alone: what an export does with what was read, the museum shows."""
    from fuserank_export.sources import read_catalog

    row, reason = BAD[name]
    path = write_csv(tmp_path / "items.csv", [*sound(), COLUMNS | {"item_id": name} | row])
    with pytest.raises(InputError, match=r"1 of 7 rows \(14\.3%\) are bad"):
        read_catalog(path)
    report = read_catalog(path, max_bad_share=0.2).report
    assert dict(report.reasons) == {reason: 1}
    assert report.examples[0].line == 8
    assert_adds_up(report.summary())


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "found no valid item in 0 rows"),
        ([COLUMNS | {"item_id": "a"}], "1 of 1 rows \\(100.0%\\) are bad"),
    ],
)
def test_a_catalogue_without_an_item_is_an_error_and_leaves_no_bundle(tiny_encoder, tmp_path, items, message):
    path = tmp_path / "items.csv"
    path.write_text(",".join(COLUMNS) + "\n" + "".join(",".join(row.values()) + "\n" for row in items))
    out = tmp_path / "bundle"
    with pytest.raises(InputError, match=message):
        export_quickly(path, tiny_encoder, out)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("bundle.rejected-")] == ["items.csv"]


def test_too_few_judged_queries_are_named_with_what_to_do_and_no_word_of_a_tower(export_shop, tmp_path):
    (tmp_path / "queries.tsv").write_text("".join(f"{number}\tmilk {number}\n" for number in range(9)))
    (tmp_path / "judged.tsv").write_text("".join(f"{number} 0 ok0 1\n{number} 0 ok1 0\n" for number in range(9)))
    files = {"queries": tmp_path / "queries.tsv", "judgements": tmp_path / "judged.tsv"}
    with pytest.raises(InputError, match=r"judged\.tsv: found 9 queries .*leave out --queries and --judg") as error:
        export_shop(sound(), files=files)
    assert "tower" not in str(error.value)


ELSEWHERE = [event(f"gone{number}", f"u{number}") for number in range(30)]
LATER = [event(age=-400 * SECONDS_PER_DAY), event(age=-2 * SECONDS_PER_DAY)]


@pytest.mark.parametrize(
    ("events", "counts"),
    [(ELSEWHERE, {"read": 30, "kept": 0, "bad": 0, "unknown_item": 30}),
     (LATER, {"read": 2, "kept": 0, "bad": 2, "unknown_item": 0})],
    ids=["of unknown items", "in the future"],
)  # fmt: skip
def test_a_log_of_which_nothing_is_left_is_counted_and_the_shop_opens_without_one(export_shop, events, counts):
    bundle = Bundle.open(export_shop(sound(), events, max_bad_rows=1.0, max_unknown_items=1.0))
    summary = bundle.manifest["inputs"]["interactions"]
    assert {name: summary[name] for name in counts} == counts
    assert_adds_up(summary)
    assert bundle.manifest["counts"] | {"texts": 6} == {"items": 6, "texts": 6, "users": 0, "events": 0, "purchases": 0}
    assert bundle.manifest["ranker"]["source"] == "catalog"
    graph = LocalGraph(bundle)
    assert sorted(ids(graph, user="ann")) == sorted(ids(graph, "milk", "ann")) == [f"ok{n}" for n in range(6)]


def test_events_in_the_future_end_an_export_that_does_not_allow_for_them(export_shop, tmp_path):
    with pytest.raises(InputError, match=r"events\.csv: 2 of 2 rows \(100\.0%\) are bad; .*timestamp: in the future"):
        export_shop(sound(), LATER)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("title", ["🥛", "…", "whole milk", LONG])
def test_items_that_all_have_one_odd_title_are_all_served(export_shop, title):
    rows = [{"item_id": f"x{number}", "title": title} for number in range(3)]
    bundle = Bundle.open(export_shop(rows, [event("x1"), event("x1", "bob")]))
    assert bundle.manifest["counts"]["texts"] == 1
    graph = LocalGraph(bundle)
    for query, user in ((title[:100], ""), ("", "ann"), ("soap", "bob")):
        assert sorted(ids(graph, query, user)) == ["x0", "x1", "x2"]
    assert ids(graph, user="ann", k=1) == ["x1"]


def test_a_catalogue_of_one_item_with_a_log_of_its_own_is_served(export_shop):
    events = [event("only", f"u{number % 3}", age=SECONDS_PER_DAY * number) for number in range(200)]
    bundle = Bundle.open(export_shop([{"item_id": "only", "title": "oat drink"}], events))
    graph = LocalGraph(bundle)
    for query, user in (("oat drink", ""), ("bulb", "u1"), ("", "u1"), ("", "nobody")):
        assert ids(graph, query, user, explain=True) == ["only"]
    assert ids(graph, user="u1", exclude_seen=True) == []
