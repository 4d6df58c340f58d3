"""A list of objects in one JSON file is read as rows; what is no such list is refused with the place."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pytest

from fuserank_export.sources.formats import json_list
from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.report import InputError, RowReport

ITEMS = [{"item_id": str(n), "title": f"Mug {n} ü 🙂", "sizes": [1, 2], "price": n + 0.5} for n in range(50)]


def read(path, **settings):
    report = RowReport(str(path))
    return pd.concat(read_rows(path, report, required=["item_id"], **settings)), report


def check(frame, report):
    assert frame["title"].tolist() == [item["title"] for item in ITEMS]
    assert frame["sizes"].iloc[0] == [1, 2]
    assert frame.index.tolist() == list(range(1, 51))
    assert (report.read, report.bad) == (50, 0)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.json.gz"])
def test_a_list_is_read_however_it_is_laid_out(write_text, monkeypatch, indent, name):
    monkeypatch.setattr(json_list, "_BLOCK_CHARACTERS", 7)  # every value goes over the end of a block
    content = json.dumps(ITEMS, indent=indent, ensure_ascii=indent is None).encode()
    check(*read(write_text(gzip.compress(content) if name.endswith(".gz") else content, name), chunk_rows=7))


@pytest.mark.parametrize("indent", [None, 1])
def test_the_one_list_of_an_object_around_it_is_read(write_text, indent):
    around = {"products": ITEMS} if indent is None else {"next": None, "tags": ["a"], "products": ITEMS, "count": 50}
    check(*read(write_text(json.dumps(around, indent=indent), "x.json")))


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "around",
    [
        {"responseHeader": {"status": 0, "params": [{"q": "*"}]}, "response": {"numFound": 50, "docs": ITEMS}},
        {"data": {"result": {"products": ITEMS}}, "status": 200},
    ],
)
def test_the_one_list_of_what_an_interface_answers_is_read(write_text, around, indent):
    check(*read(write_text(json.dumps(around, indent=indent), "x.json")))


def test_types_of_mongodb_are_plain_values(write_text):
    written = {
        "item_id": {"$oid": "5f1"}, "price": {"$numberDecimal": "10.50"}, "stock": {"$numberInt": "3"},
        "at": {"$date": {"$numberLong": "1672617600000"}}, "size": {"$unknown": "x"}, "more": {"$oid": "1", "a": 2},
    }  # fmt: skip
    frame, _ = read(write_text(json.dumps(written) + "\n", "x.jsonl"))
    assert frame.to_dict("records") == [
        {
            "item_id": "5f1", "price": "10.50", "stock": "3", "at": "1672617600000", "size": {"$unknown": "x"},
            "more": {"$oid": "1", "a": 2},
        }
    ]  # fmt: skip


def test_a_json_file_of_lines_is_read_by_lines(write_text):
    lines = "".join(json.dumps({**item, "items": [{"a": 1}]}) + "\n" for item in ITEMS)
    frame, report = read(write_text(lines, "x.json"))
    assert len(frame) == report.read == 50
    assert frame.index.tolist() == list(range(1, 51))


def test_elements_that_are_no_objects_are_bad_rows(write_text):
    frame, report = read(write_text('[{"item_id": "1"}, 7, {"item_id": "2"}, null, "\\ud800"]', "x.json"))
    assert frame["item_id"].tolist() == ["1", "2"]
    assert [(row.line, row.value) for row in report.examples] == [(2, "7"), (4, "null"), (5, "\\ud800")]


REFUSED = {
    "an object without a list": ('{\n"a": 1,\n"b": "x"\n}', "an object with 'a', 'b' and without a list of objects"),
    "several lists": ('{\n"a": [{"x": 1}],\n"b": [{"x": 1}]\n}', r"several lists of objects \(a, b\); allowed: one"),
    "cut off": ('[{"item_id": "1"}, {"item_id": ', "cannot be read as JSON at character 20"),
    "more behind": ('[{"item_id": "1"}] {}', r"more behind the end of the list"),
    "a stray comma": ('[{"item_id": "1"},]', "cannot be read as JSON at character 19"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_list_of_objects_is_refused_with_what_is_allowed(write_text, name):
    content, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as error:
        read(write_text(content, "x.json"))
    assert "allowed: " in str(error.value)
