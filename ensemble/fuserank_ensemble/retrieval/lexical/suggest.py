"""Query completion while typing: from titles and logged queries, the most popular first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tantivy
from tantivy import Occur, Query

from fuserank_ensemble.retrieval.lexical.cuts import LONGEST_SHOWN, cut_middle, cut_phrase
from fuserank_ensemble.retrieval.lexical.phrases import Completion, MergedPhrases, key_of_words, phrase_key
from fuserank_ensemble.retrieval.lexical.tantivy_files import finish, index_writer, open_searcher
from fuserank_ensemble.retrieval.lexical.words import has_han, split_characters

# Prefixes up to this long are terms of their own: what begins so is one posting list, however much it is.
_START = 12
_TOP = 100
_PREFIX_WORDS = 12


class Suggester:
    """Completions of a prefix; see `complete`."""

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self._searcher = searcher
        self._schema = _schema()
        self._top = self._extend({}, Query.all_query(), min(_TOP, searcher.num_docs))

    @staticmethod
    def write(folder: Path, phrases: Iterable[Completion]) -> int:
        """Writes the phrases, equal ones merged and their popularity summed up; those without any word are left out.

        Returns:
            How many phrases were written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        merged = MergedPhrases(phrases, folder)
        writer = index_writer(folder, _schema())
        for place, (text, popularity) in enumerate(merged):
            writer.add_document(phrase_document(place, text, popularity))
        finish(writer, folder)
        return len(merged)

    @classmethod
    def open(cls, folder: Path) -> Suggester:
        """Maps the phrases; the folder may be read-only and stays as it is."""
        return cls(open_searcher(folder))

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def has_key(self, key: str) -> bool:
        """Whether there is a phrase with a key, see `phrase_key`."""
        return self._searcher.doc_freq("key", key) > 0

    def complete(
        self, prefix: str, count: int, hidden: Collection[str] = frozenset(), habits: Sequence[str] = ()
    ) -> list[Completion]:
        """Phrases that a prefix may become, as they are written, each with its popularity.

        First those that begin with the prefix, then those that hold its words in any order (the last one as a
        beginning), then, from four characters on, those within one wrong character of it, or two from eight. A long
        phrase is cut, and an ellipsis says where.

        Args:
            prefix: What is typed so far; empty for the most popular phrases.
            count: How many are wanted.
            hidden: Keys of the phrases that are not shown, see `phrase_key`.
            habits: What the user's items are called, dearest first: of what fits as well it comes first.
        """
        spelt = split_characters(prefix)[-_PREFIX_WORDS:]
        if count < 1 or not self._searcher.num_docs:
            return []
        own = {key: habit for habit in habits if (key := phrase_key(habit)) and key not in hidden}
        if not spelt:
            if own:
                dearest = self._extend(self._known(list(own)[:count]), Query.all_query(), count, hidden)
                return _cut(list(dearest.items())[:count], spelt)
            if count <= len(self._top) and not hidden:
                return _cut(list(self._top.items())[:count], spelt)
            return _cut(list(self._extend({}, Query.all_query(), count, hidden).items())[:count], spelt)
        completions: dict[str, float] = {}
        # A space after the last word says that it is whole.
        ended = prefix[-1:].isspace()
        fitting = [_beginning_with(own, spelt, ended), _holding_words(own, spelt, ended), []]
        for query, keys in zip(self._queries(spelt, ended), fitting, strict=True):
            completions |= {
                phrase: worth for phrase, worth in self._known(keys[:count]).items() if phrase not in completions
            }
            completions = self._extend(completions, query, count, hidden)
            if len(completions) >= count:
                break
        return _cut(list(completions.items())[:count], spelt)

    def _known(self, keys: Sequence[str]) -> dict[str, float]:
        """The phrases with some keys, in their order, each with its popularity; a key without a phrase has none."""
        known: dict[str, float] = {}
        for key in keys:
            hits = self._searcher.search(Query.term_query(self._schema, "key", key, "basic"), 1, count=False).hits
            for _, address in hits:
                document = self._searcher.doc(address)
                known[str(document.get_first("text"))] = float(document.get_first("popularity") or 0.0)
        return known

    def _queries(self, spelt: list[str], ended: bool) -> Iterator[Query]:
        yield self._beginning(" ".join(spelt) + " " * ended)
        yield self._holding(spelt, ended)
        yield self._nearly(spelt, ended)

    def _beginning(self, start: str) -> Query:
        query = Query.term_query(self._schema, "start", start[:_START], "basic")
        if len(start) <= _START:
            return query
        return self._begins("key", start)

    def _holding(self, spelt: list[str], ended: bool) -> Query:
        *earlier, last = spelt
        clauses = [self._word(word) for word in earlier]
        if ended:
            clauses.append(self._word(last))
        elif len(last) <= _START:
            clauses.append(Query.term_query(self._schema, "begun", last, "basic"))
        else:
            clauses.append(self._begins("word", last))
        return _all(clauses)

    def _nearly(self, spelt: list[str], ended: bool) -> Query:
        last = len(spelt) - 1
        return _all([self._near(word, position == last and not ended) for position, word in enumerate(spelt)])

    def _near(self, word: str, begun: bool) -> Query:
        distance = (len(word) >= 4) + (len(word) >= 8)
        if not distance or has_han(word) or not word.isalpha():
            return self._holding([word], ended=not begun)
        return Query.fuzzy_term_query(self._schema, "word", word, distance, prefix=begun)

    def _begins(self, field: str, start: str) -> Query:
        return Query.fuzzy_term_query(self._schema, field, start, distance=0, prefix=True)

    def _word(self, word: str) -> Query:
        return Query.term_query(self._schema, "word", word, "basic")

    def _extend(
        self, completions: Mapping[str, float], query: Query, count: int, hidden: Collection[str] = frozenset()
    ) -> dict[str, float]:
        """The completions so far, followed by the most popular phrases that a query matches and that are not hidden."""
        extended = dict(completions)
        limit = max(count + len(completions) + len(hidden), 1)
        hits = self._searcher.search(query, limit, count=False, order_by_field="place", order=tantivy.Order.Asc).hits
        for _, address in hits:
            document = self._searcher.doc(address)
            text = str(document.get_first("text"))
            if not hidden or phrase_key(text) not in hidden:
                extended.setdefault(text, float(document.get_first("popularity") or 0.0))
        return extended


def _beginning_with(keys: Iterable[str], spelt: Sequence[str], ended: bool) -> list[str]:
    """Returns the keys that begin with what was typed."""
    start = " ".join(spelt)
    return [key for key in keys if (f"{key} ".startswith(f"{start} ") if ended else key.startswith(start))]


def _holding_words(keys: Iterable[str], spelt: Sequence[str], ended: bool) -> list[str]:
    """Returns the keys that hold the words that were typed, the last one as a beginning unless it is whole."""
    *earlier, last = spelt
    held = [(key, key.split()) for key in keys]
    return [
        key
        for key, words in held
        if set(earlier) <= set(words) and (last in words if ended else any(word.startswith(last) for word in words))
    ]


def _cut(completions: Sequence[Completion], typed: Sequence[str]) -> list[Completion]:
    """The phrases as they are shown, without repeats: of long ones that begin alike the ends are shown too."""
    shown: dict[str, float] = {}
    for text, popularity in completions:
        cut = cut_phrase(text, typed)
        if cut in shown and len(text) > LONGEST_SHOWN:
            cut = cut_middle(text)
        shown.setdefault(cut, popularity)
    return list(shown.items())


def phrase_document(place: int, text: str, weight: float) -> tantivy.Document:
    """A phrase of the index: its place among all, the most popular first, and its popularity."""
    spelt = split_characters(text)
    key = key_of_words(spelt)
    document = tantivy.Document()
    document.add_unsigned("place", place)
    document.add_text("text", text)
    document.add_float("popularity", weight)
    document.add_text("key", key)
    for end in range(1, min(len(key), _START) + 1):
        document.add_text("start", key[:end])
    for word in dict.fromkeys(spelt):
        document.add_text("word", word)
    for start in {word[:end] for word in spelt for end in range(1, min(len(word), _START) + 1)}:
        document.add_text("begun", start)
    return document


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder().add_unsigned_field("place", fast=True)
    # Nobody searches it, and tantivy indexes every text field: words, which repeat, take less than whole titles.
    builder = builder.add_text_field("text", stored=True, tokenizer_name="default", index_option="basic")
    builder = builder.add_float_field("popularity", stored=True)
    for name in ("key", "start", "word", "begun"):
        builder = builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _all(queries: Sequence[Query]) -> Query:
    return Query.boolean_query([(Occur.Must, query) for query in queries])
