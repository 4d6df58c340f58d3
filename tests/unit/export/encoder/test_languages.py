"""An encoder is measured on the scripts of a shop: what it cannot read is warned of, with an encoder to take."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from fuserank_export.encoder.languages import KNOWN_ENCODER, PHRASES, measure_scripts, unknown_token_id

CHINESE = ["不锈钢保温杯", "儿童雨靴", "露营帐篷"]
ENGLISH = ["steel bottle", "rain boots", "camping tent"]
FOREIGN = ("kuchen", "mus", "saft", "torte", "suppe")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make_tokenizer(words):
    """Reads the given words whole, other Latin ones in letters, and all else as unknown."""
    pieces = ["[UNK]", *words, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    model = models.WordPiece({piece: at for at, piece in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


KNOWN = [word for text in [*ENGLISH, *PHRASES["latin"].split("|")] for word in text.split()]
EVERY_HAN = sorted({character for text in [*CHINESE, PHRASES["han"]] for character in text if character != "|"})


def distinct(texts):
    return np.eye(len(texts), dtype=np.float32)


def alike_unless_ascii(texts):
    return np.stack([np.eye(64)[at if text.isascii() else 63] for at, text in enumerate(texts)]).astype(np.float32)


def test_a_script_of_unknown_tokens_is_not_read_and_the_warning_names_an_encoder():
    latin, han = measure_scripts([*ENGLISH, *ENGLISH, *CHINESE], make_tokenizer(KNOWN), distinct)
    assert (latin.script, latin.unknown, latin.is_read, latin.warning) == ("latin", 0.0, True, "")
    assert (han.script, han.unknown, han.is_read) == ("han", 1.0, False)
    assert "han script" in han.warning
    assert "100% unknown tokens" in han.warning
    assert KNOWN_ENCODER in han.warning


def test_a_script_whose_unlike_texts_come_out_alike_is_not_read_though_every_token_is_known():
    (han,) = measure_scripts(CHINESE, make_tokenizer([*KNOWN, *EVERY_HAN]), alike_unless_ascii)
    assert (han.unknown, han.alike, han.is_read) == (0.0, pytest.approx(1.0), False)


def test_a_multilingual_encoder_is_not_warned_of():
    measured = measure_scripts([*ENGLISH, *CHINESE], make_tokenizer([*KNOWN, *EVERY_HAN]), distinct)
    assert [(known.script, known.warning) for known in measured] == [("latin", ""), ("han", "")]


def test_a_language_that_is_read_letter_by_letter_is_warned_of_but_searched_by_meaning():
    german = [f"{taste}{dish}" for taste in ("apfel", "birnen", "kirsch", "zwiebel") for dish in FOREIGN]
    (latin,) = measure_scripts([" ".join(german)], make_tokenizer(KNOWN), distinct)
    assert latin.pieces == pytest.approx(sum(map(len, german)) / len(german))
    assert latin.is_read
    assert "hardly knows the catalogue's language" in latin.warning


def test_a_script_of_a_few_letters_of_a_shop_is_not_measured():
    assert [known.script for known in measure_scripts([*ENGLISH * 20, "茶"], make_tokenizer(KNOWN), distinct)] == [
        "latin"
    ]
    assert measure_scripts(["12", ""], make_tokenizer(KNOWN), distinct) == []


def test_few_words_tell_nothing_of_a_language():
    assert measure_scripts(["zwiebelkuchen"], make_tokenizer(KNOWN), distinct)[0].pieces is None


def test_a_tokenizer_that_pads_is_measured_without_its_padding():
    padded = make_tokenizer(KNOWN)
    padded.enable_padding(length=64)
    assert measure_scripts([*ENGLISH, *CHINESE], padded, distinct) == measure_scripts(
        [*ENGLISH, *CHINESE], make_tokenizer(KNOWN), distinct
    )


def test_the_unknown_token_is_found_in_every_kind_of_tokenizer():
    assert unknown_token_id(make_tokenizer([])) == 0
    assert unknown_token_id(Tokenizer(models.Unigram([("a", -1.0), ("<unk>", 0.0)], 1))) == 1
    assert unknown_token_id(Tokenizer(models.BPE())) is None
