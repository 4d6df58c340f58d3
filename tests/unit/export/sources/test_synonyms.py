"""Synonyms in Solr's format: every phrase has one meaning, and a wrong line is named with its number."""

from __future__ import annotations

import pytest

from fuserank_export.adapters import complete_journey
from fuserank_export.sources.report import InputError
from fuserank_export.sources.synonyms import read_synonyms


def test_phrases_left_of_the_arrow_are_replaced_by_what_stands_right_of_it(write_text):
    path = write_text(
        "# drinks\n\ncoke,  Pepsi => soft drinks # brands\n7-up => lemon soda\n卫生纸 => 纸巾\n", "words.txt"
    )
    synonyms = read_synonyms(path)
    assert synonyms.replacements == {
        "coke": "soft drinks",
        "pepsi": "soft drinks",
        "7-up": "lemon soda",
        "卫生纸": "纸巾",
    }
    assert synonyms.replace("Coke or pepsi") == "soft drinks or soft drinks"


def test_full_width_letters_and_a_byte_order_mark_are_read_as_queries_are(write_text):
    assert read_synonyms(write_text("\ufeffｃｏｋｅ => cola\r\n", "words.txt")).replacements == {"coke": "cola"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("coke, pepsi", "coke, pepsi"),
        ("coke =>", "coke =>"),
        ("=> cola", "=> cola"),
        ("coke, => cola", "coke, => cola"),
        ("#1, best => good", None),
        ("-coke => cola", "-coke => cola"),
    ],
)
def test_a_line_of_another_form_is_refused_with_its_number(write_text, line, found):
    path = write_text(f"milk => dairy\n{line}\n", "words.txt")
    if found is None:  # a comment
        assert len(read_synonyms(path)) == 1
        return
    with pytest.raises(InputError, match=r"words\.txt, line 2: found") as error:
        read_synonyms(path)
    assert found in str(error.value)


def test_a_phrase_of_two_meanings_is_refused_and_one_said_twice_is_not(write_text):
    assert len(read_synonyms(write_text("pop => soda\nPop => soda\n", "words.txt"))) == 1
    with pytest.raises(InputError, match="line 2: 'pop' stood before, for 'soda'"):
        read_synonyms(write_text("pop => soda\npop => music\n", "words.txt"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00c"])
def test_a_file_that_is_no_text_or_missing_is_named(write_text, tmp_path, content):
    path = tmp_path / "missing.txt" if content is None else write_text(content, "words.txt")
    with pytest.raises(InputError, match="give a text file in UTF-8"):
        read_synonyms(path)


def test_the_synonyms_of_the_demo_are_sound_and_none_replaces_what_another_means():
    synonyms = read_synonyms(complete_journey.SYNONYMS)
    assert len(synonyms) > 200
    for phrase, meaning in synonyms.replacements.items():
        assert synonyms.replace(phrase) == meaning
