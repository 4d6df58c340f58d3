"""Which words an encoder knows as a whole, whatever its tokenizer's file asks for beside."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

from fuserank_ensemble.catalog.tokens import EncoderVocabulary


def test_a_word_of_one_token_is_known_though_the_file_asks_for_padding(tmp_path):
    tokenizer = Tokenizer(WordPiece({"[UNK]": 0, "coke": 1, "mas": 2, "##cra": 3, "[PAD]": 4}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    tokenizer.enable_padding(length=8, pad_id=4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabulary = EncoderVocabulary(tmp_path / "tokenizer.json")
    assert "coke" in vocabulary
    assert "mascra" not in vocabulary  # two pieces
    assert "xyz" not in vocabulary  # the unknown token
    assert "mas" in vocabulary
