"""A folder, a pattern and compressed files are one input; rows are reported with the part that they stand in."""

from __future__ import annotations

import gzip

import pandas as pd
import pyarrow as pa
import pytest

from fuserank_export.sources import read_catalog
from fuserank_export.sources.formats.parts import find_parts
from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.report import InputError, RowReport


def compress_zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


@pytest.fixture
def events(tmp_path):
    """A folder as Spark and Hive write it."""
    folder = tmp_path / "events"
    (folder / "country=de").mkdir(parents=True)
    (folder / "country=fr%20sud").mkdir()
    (folder / "_temporary").mkdir()
    (folder / "_SUCCESS").write_text("")
    (folder / "_temporary" / "part-9.csv").write_text("item_id,title\nlost,lost\n")
    (folder / "country=de" / ".part-2.csv.crc").write_bytes(b"crc")
    (folder / "country=de" / "part-2.csv").write_text("item_id,title\n1,Mug\n2,Jug\n")
    (folder / "country=de" / "part-10.csv").write_text("item_id,title\n3,Jar\n")
    (folder / "country=fr%20sud" / "part-1.csv.gz").write_bytes(gzip.compress(b"title,item_id\nPot,4\n"))
    return folder


def read(path, **settings):
    report = RowReport(str(path))
    return pd.concat(read_rows(path, report, required=["item_id", "title"], **settings)), report


def test_a_folder_of_part_files_is_read_in_order_with_the_columns_of_its_folders_names(events):
    frame, report = read(events)
    assert frame["item_id"].tolist() == ["1", "2", "3", "4"]
    assert frame["country"].tolist() == ["de", "de", "de", "fr sud"]
    assert (report.read, report.summary()["parts"]) == (4, 3)
    assert frame.index.is_unique


def test_columns_that_are_not_asked_for_are_not_added(events):
    assert read(events, columns=["item_id", "title"])[0].columns.tolist() == ["item_id", "title"]


def test_a_pattern_is_read_like_a_folder(events):
    assert read(events / "country=de" / "part-*.csv")[0]["item_id"].tolist() == ["1", "2", "3"]
    assert read(events.parent / "**" / "part-1*.csv*")[0]["item_id"].tolist() == ["3", "4"]


def test_a_bad_row_names_its_part_and_the_line_there(events):
    (events / "country=de" / "part-10.csv").write_text('item_id,title\n3,Jar\n1,"again"\n,nameless\n')
    report = read_catalog(events, max_bad_share=1).report
    assert [(row.file, row.line) for row in report.examples] == [
        (str(events / "country=de" / "part-10.csv"), 4),
        (str(events / "country=de" / "part-10.csv"), 3),
    ]
    assert f"first in line 2 of {events / 'country=de' / 'part-2.csv'}" in report.examples[1].reason


def test_the_same_line_of_two_parts_is_two_rows(events):
    (events / "country=de" / "part-10.csv").write_text("item_id,title\n1,Mug again\n")
    catalog = read_catalog(events, max_bad_share=1)
    assert catalog.report.reasons == {"item_id: duplicate": 1}
    assert sorted(catalog.items["item_id"]) == ["1", "2", "4"]


def test_a_part_without_a_required_column_is_named(events):
    (events / "country=de" / "part-10.csv").write_text("item_id,name\n3,Jar\n")
    with pytest.raises(InputError, match=r"part-10\.csv: the required column 'title' is missing"):
        read(events)


def test_files_of_unknown_formats_in_a_folder_are_noted(events):
    (events / "README.md").write_text("about")
    _, report = read(events)
    assert "README.md" in report.notes[0]


def test_nothing_to_read_is_an_error_with_what_is_there(tmp_path):
    (tmp_path / "items.xlsx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"without a file to read; it holds items\.xlsx"):
        find_parts(tmp_path)
    with pytest.raises(InputError, match="no file that this pattern matches"):
        find_parts(tmp_path / "part-*.csv")


@pytest.mark.parametrize("name", ["x.csv.zst", "x.csv.zstd", "x.csv", "x.jsonl.zst", "x.parquet.zst"])
def test_zstd_is_read_whatever_the_files_name(tmp_path, name):
    plain = tmp_path / "plain"
    if "parquet" in name:
        pd.DataFrame({"item_id": ["1"], "title": ["Mug"]}).to_parquet(plain)
    else:
        plain.write_text('{"item_id": "1", "title": "Mug"}\n' if "jsonl" in name else "item_id,title\n1,Mug\n")
    (tmp_path / name).write_bytes(compress_zstd(plain.read_bytes()))
    assert read(tmp_path / name)[0].to_numpy().tolist() == [["1", "Mug"]]


def test_compressed_files_that_were_joined_are_read_to_the_end(write_text):
    for name, compress in (("x.csv.zst", compress_zstd), ("x.csv.gz", gzip.compress)):
        path = write_text(compress(b"item_id,title\n1,Mug\n") + compress(b"item_id,title\n2,Jug\n"), name)
        assert read(path)[0]["item_id"].tolist() == ["1", "2"]


def test_a_plain_file_under_a_compressed_name_is_read(write_text):
    assert read(write_text("item_id,title\n1,Mug\n", "x.csv.gz"))[0]["title"].tolist() == ["Mug"]


def test_a_broken_zstd_file_is_named(write_text):
    content = compress_zstd(b"item_id,title\n" + b"1,Mug\n" * 10_000)
    with pytest.raises(InputError, match=r"x\.csv\.zst: found a broken zstd file"):
        read(write_text(content[: len(content) // 2], "x.csv.zst"))
