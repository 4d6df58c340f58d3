"""Text is read in the encoding that it is written in; a guess is said with an example, and an option overrules it."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from fuserank_export.sources.formats.encoding import check_encoding, detect_encoding
from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.formats.text_format import TextFormat
from fuserank_export.sources.report import InputError, RowReport

# Catalogues as short as a first try is: what the rule of `_guess` was measured on.
SAMPLES = [
    ("windows-1252", "Café crème|Gâteau"),
    ("windows-1252", "Größe 42|Müller Becher"),
    ("windows-1252", "“Quoted” mug – 3 €|Tee"),
    ("windows-1252", "Smörgås|Kniv"),
    ("windows-1252", "Niño|Señor ½ jamón"),
    ("windows-1250", "Žluťoučký kůň|Čajová konvice"),
    ("windows-1250", "Żółta łódź|Świeca zapachowa"),
    ("windows-1251", "Чайник красный|Кружка"),
    ("windows-1253", "Τσάι πράσινο|Καφές"),
    ("windows-1254", "Yeşil çay ışığı|Kırmızı ağaç"),
    ("gb18030", "绿茶礼盒|红茶杯子"),
    ("big5", "綠茶禮盒|紅茶杯子"),
    ("cp932", "緑茶セット|コーヒーカップ"),
    ("cp949", "녹차 세트|커피 컵"),
]


def read(path, **settings):
    report = RowReport(str(path))
    return pd.concat(read_rows(path, report, required=["item_id"], **settings)), report


@pytest.mark.parametrize(("encoding", "titles"), SAMPLES)
def test_short_catalogues_are_guessed_and_the_guess_is_noted_with_a_word(write_text, encoding, titles):
    rows = "".join(f"{number},{title}\r\n" for number, title in enumerate(titles.split("|")))
    frame, report = read(write_text(f"item_id,title\r\n{rows}".encode(encoding)))
    assert frame["title"].tolist() == titles.split("|")
    (note,) = report.notes
    assert f"was read as {encoding}" in note
    assert "--encoding" in note


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_unicode_is_known_by_its_mark_or_its_zeros(write_text, name, encoding):
    text = '{"item_id": "1", "title": "Tee 茶"}\n' if "jsonl" in name else "item_id,title\r\n1,Tee 茶\r\n"
    content = text.encode(encoding)
    frame, report = read(write_text(gzip.compress(content) if name.endswith(".gz") else content, name))
    assert frame.to_numpy().tolist() == [["1", "Tee 茶"]]
    assert not report.notes
    assert not report.bad


def test_the_option_overrules_the_guess_and_leaves_utf_8_alone(write_text):
    western = write_text("item_id,title\n1,Žižka\n".encode("windows-1250"), "a.csv")
    assert read(western, text=TextFormat("windows-1250"))[0]["title"].tolist() == ["Žižka"]
    assert not read(western, text=TextFormat("windows-1250"))[1].notes
    unicode = write_text("item_id,title\n1,Žižka\n".encode(), "b.csv")
    assert read(unicode, text=TextFormat("windows-1250"))[0]["title"].tolist() == ["Žižka"]


def test_a_letter_far_into_the_file_is_found(write_text):
    rows = "".join(f"{number},plain title\n" for number in range(200_000))
    frame, report = read(write_text(f"item_id,title\n{rows}x,Crème\n".encode("windows-1252")))
    assert frame["title"].iloc[-1] == "Crème"
    assert len(report.notes) == 1


def test_a_few_damaged_rows_of_a_utf_8_file_are_bad_rows(write_text):
    rows = "".join(f"{number},Tee für {number}\n" for number in range(50))
    frame, report = read(write_text(f"item_id,title\n{rows}".encode() + b"x,Caf\xe9\n"))
    assert len(frame) == 50
    assert dict(report.reasons) == {"row: not UTF-8 text": 1}
    assert "--encoding" in report.examples[0].reason


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_the_option_says_what_the_rows_of_another_encoding_are(write_text, name):
    form = '{{"item_id": "{}", "title": "{}"}}\n' if "jsonl" in name else "{},{}\n"
    header = "" if "jsonl" in name else "item_id,title\n"
    unicode = header + "".join(form.format(number, "für") for number in range(9))
    path = write_text(unicode.encode() + form.format("x", "Café").encode("windows-1252"), name)
    frame, report = read(path, text=TextFormat("windows-1252"))
    assert frame["title"].tolist() == ["für"] * 9 + ["Café"]
    assert not report.bad


def test_what_the_named_encoding_cannot_hold_is_a_bad_row(write_text):
    frame, report = read(write_text(b"item_id,title\n1,Caf\xe9\n2,\x81\n"), text=TextFormat("windows-1252"))
    assert frame["title"].tolist() == ["Café"]
    assert dict(report.reasons) == {"row: not WINDOWS-1252 text": 1}


def test_a_name_that_is_no_encoding_is_refused():
    for name in ("windows-1252", "utf-16", "gb18030", "utf_8"):
        check_encoding(name)
    for name in ("windows-12525", "zip", ""):
        with pytest.raises(InputError, match="--encoding"):
            check_encoding(name)


def test_ascii_is_utf_8_whatever_is_named(write_text):
    assert detect_encoding(write_text("item_id\n1\n"), "utf-16").name == "utf-8"
