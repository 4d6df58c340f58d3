"""Pairs are joined token for token as the tokenizer itself joins them, in both layouts that cross-encoders have."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from fuserank_ensemble.candidates.pairs import PairLayout, PairTokens

WORDS = [f"w{number}" for number in range(60)]
BUCKETS = (1, 8, 15)
TEXTS = [" ".join(WORDS[:length]) for length in (0, 1, 5, 6, 7, 20)]
QUERIES = [" ".join(WORDS[30 : 30 + length]) for length in (0, 1, 5, 6, 7, 20)]


def bert() -> tuple[Tokenizer, int]:
    ids = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer, 0


def roberta() -> tuple[Tokenizer, int]:
    ids = {word: at for at, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer, 1


@pytest.fixture(params=[bert, roberta])
def made(request, tmp_path):
    tokenizer, pad = request.param()
    PairTokens.write(tmp_path / "pairs", tokenizer, TEXTS, 4 * BUCKETS[-1])
    return tokenizer, PairTokens.open(tmp_path / "pairs", BUCKETS, pad), pad


def test_the_layout_is_read_off_the_tokenizer():
    found = asdict(PairLayout.from_tokenizer(bert()[0]))
    assert found == {
        "before": [(2, 0)],
        "between": [(3, 0)],
        "after": [(3, 1)],
        "query_type": 0,
        "item_type": 1,
    }
    assert PairLayout.from_tokenizer(roberta()[0]).specials == 4  # <s> query </s></s> item </s>


def test_every_pair_has_the_tokenizers_own_ids_and_types_at_any_length(made):
    tokenizer, pairs, _ = made
    tokenizer.enable_truncation(BUCKETS[-1], strategy="longest_first")
    rows = np.arange(len(TEXTS), dtype=np.int32)
    cut = 0
    for query in QUERIES:
        for text, (ids, types) in zip(TEXTS, pairs.join(query, rows), strict=True):
            expected = tokenizer.encode(query, text)
            assert ids == expected.ids, (query, text)
            assert types == expected.type_ids, (query, text)
            cut += bool(expected.overflowing)
    assert cut > 8


def test_pairs_are_padded_to_the_smallest_bucket_that_holds_them_all(made):
    _, pairs, pad = made
    short, long = pairs.join(QUERIES[1], np.asarray([1], np.int32)), pairs.join(QUERIES[5], np.asarray([0, 5]))
    assert (pairs.bucket([]), pairs.bucket(short), pairs.bucket(long)) == (1, 8, 15)
    ids, types = pairs.pad([short, [], long], 3)
    assert ids.shape == types.shape == (3, 3, 15)
    assert ids.dtype == types.dtype == np.int64
    for i, mine in enumerate((short, [], long)):
        for j in range(3):
            tokens, of_type = mine[j] if j < len(mine) else ([], [])
            assert ids[i, j].tolist() == tokens + [pad] * (15 - len(tokens))
            assert types[i, j].tolist() == of_type + [0] * (15 - len(tokens))


def test_requests_without_pairs_have_tensors_of_one_token(made):
    _, pairs, pad = made
    ids, types = pairs.pad([[], []], 16)
    assert ids.shape == (2, 16, 1)
    assert (ids == pad).all()
    assert not types.any()


def test_a_tokenizer_that_makes_nothing_of_letters_is_refused():
    with pytest.raises(ValueError, match="no tokens of letters"):
        PairLayout.from_tokenizer(Tokenizer(models.BPE({"w": 0}, [])))


def test_a_text_that_came_later_is_joined_as_one_of_the_bundle(made):
    _, pairs, _ = made
    rows = np.arange(len(TEXTS), dtype=np.int32)
    for query in QUERIES:
        later = pairs.join(query, rows + len(TEXTS), lambda text: TEXTS[text - len(TEXTS)])
        assert later == pairs.join(query, rows)


def test_texts_that_are_no_items_are_joined_as_items_are_and_what_is_cut_is_said(made):
    tokenizer, pairs, _ = made
    rows = np.arange(len(TEXTS), dtype=np.int32)
    tokenizer.enable_truncation(BUCKETS[-1], strategy="longest_first")
    for query in QUERIES:
        joined, cut, query_cut = pairs.join_texts(query, TEXTS)
        assert joined == pairs.join(query, rows)
        left_out = [tokenizer.encode(query, text).overflowing for text in TEXTS]
        assert [bool(a or query_cut) >= bool(b) for a, b in zip(cut, left_out, strict=True)] == [True] * len(TEXTS)
        assert (cut.any() or query_cut) == any(left_out)
    assert pairs.join_texts(QUERIES[1], TEXTS)[1].tolist() == [False] * 5 + [True]
    assert pairs.join_texts(QUERIES[5], TEXTS[:2])[2]
