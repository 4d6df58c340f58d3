"""One spelling for each id, brand, category and filter value."""

from __future__ import annotations

import pytest

from fuserank_ensemble.contract.identity import clean_identity


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Loewe\u0301", "Loewé"),
        ("\ufeffsku-7", "sku-7"),
        ("sku\u200b-7\u2060", "sku-7"),
        ("\u00a0Two\u2009words\u3000", "Two words"),
        ("soft\u00adware", "software"),
        ("\u202aid-1\u202c", "id-1"),
        ("a\u200db", "ab"),
        (" plain ", "plain"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("½ ™ Å", "½ ™ Å"),
    ],
)
def test_what_no_reader_sees_goes_and_what_shapes_letters_stays(text, cleaned):
    assert clean_identity(text) == cleaned
    assert clean_identity(cleaned) == cleaned
