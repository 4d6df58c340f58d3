"""What a small query encoder learns from: words of the language and of the shop, phrases, and what people asked."""

from __future__ import annotations

from tokenizers import Tokenizer

from fuserank_export.query_encoder.texts import TextSources, draw_texts, vocabulary_words

SOURCES = TextSources(
    ["whole milk small", "goat cheese", "茉莉花茶"], ["the", "for", "water", "party"], ["something for breakfast"]
)


def test_every_word_phrase_and_query_is_a_text():
    texts = draw_texts(SOURCES, 400, "{query}", 3)
    assert {*SOURCES.words, *SOURCES.phrases, *SOURCES.queries} <= set(texts)
    assert len(set(texts)) == len(texts)


def test_the_others_are_words_of_the_shop_among_those_of_the_language():
    texts = [text for text in draw_texts(SOURCES, 400, "{query}", 3) if text.isascii()]
    known = {word for source in (SOURCES.words, SOURCES.phrases) for text in source for word in text.split()}
    mixed = [set(text.split()) for text in texts if set(text.split()) <= known]
    assert any(words & set(SOURCES.words) and words - set(SOURCES.words) for words in mixed)
    assert max(len(text.split()) for text in texts) <= 13


def test_a_phrase_without_spaces_gives_runs_of_characters():
    texts = draw_texts(TextSources(["茉莉花茶"], [], []), 60, "{query}", 3)
    assert {"茉", "莉花", "花茶"} & set(texts)


def test_texts_are_what_the_encoder_reads_and_the_same_for_a_seed():
    texts = draw_texts(SOURCES, 100, "query: {query}", 3)
    assert all(text.startswith("query: ") for text in texts)
    assert texts == draw_texts(SOURCES, 100, "query: {query}", 3)
    assert texts != draw_texts(SOURCES, 100, "query: {query}", 4)


def test_words_are_those_that_are_one_token(tiny_encoder):
    words = vocabulary_words(Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")))
    assert {"cheese", "goat"} <= set(words)
    assert not {"UNK", "[UNK]", "a", "##a"} & set(words)
