"""The (query, item text) pairs that the text tower reads; the items' tokens lie in the bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fuserank_ensemble.catalog.arrays import map_array

Pair = tuple[list[int], list[int]]  # token ids and token types
_TOKENIZER, _LAYOUT = "tokenizer.json", "layout.json"


@dataclass(frozen=True)
class PairLayout:
    """How a tokenizer lays out a pair: which special tokens stand where, and of what type.

    Attributes:
        before: Special tokens before the query, as (id, type).
        between: Special tokens between query and item.
        after: Special tokens after the item.
        query_type: Token type of the query's own tokens.
        item_type: Token type of the item's own tokens.
    """

    before: list[tuple[int, int]]
    between: list[tuple[int, int]]
    after: list[tuple[int, int]]
    query_type: int
    item_type: int

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> PairLayout:
        """Finds a tokenizer's layout by encoding a pair.

        Raises:
            ValueError: Where the tokenizer makes no tokens of letters.
        """
        encoding = tokenizer.encode("a", "b")
        sides = encoding.sequence_ids  # None for a special token, else 0 or 1
        tokens = list(zip(encoding.ids, encoding.type_ids, strict=True))
        first, second = ([i for i, side in enumerate(sides) if side == wanted] for wanted in (0, 1))
        if not first or not second:
            raise ValueError("the tokenizer makes no tokens of letters")
        return cls(
            tokens[: first[0]],
            tokens[first[-1] + 1 : second[0]],
            tokens[second[-1] + 1 :],
            tokens[first[0]][1],
            tokens[second[0]][1],
        )

    @property
    def specials(self) -> int:
        """How many special tokens a pair has."""
        return len(self.before) + len(self.between) + len(self.after)


class PairTokens:
    """Joins a query's tokens with those of items."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        layout: PairLayout,
        tokens: NDArray[np.int32],
        offsets: NDArray[np.int64],
        buckets: Sequence[int],
        pad: int,
    ) -> None:
        """Takes a tokenizer and the item texts' tokens.

        Args:
            tokenizer: The text tower's own.
            layout: How it lays out a pair.
            tokens: The tokens of all texts one after the other, int32 `[tokens]`.
            offsets: Where each text's begin, int64 `[texts + 1]`.
            buckets: Lengths that pairs are padded to, increasing; a longer pair is cut.
            pad: Token id that pads.
        """
        self._tokenizer, self._layout, self._buckets, self._pad = tokenizer, layout, tuple(buckets), pad
        self._tokens, self._offsets = tokens, offsets

    @classmethod
    def open(cls, folder: Path, buckets: Sequence[int], pad: int) -> PairTokens:
        """Opens what `write` wrote."""
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        layout = PairLayout(**json.loads((folder / _LAYOUT).read_text("utf-8")))
        tokens, offsets = map_array(folder / "tokens.npy"), map_array(folder / "offsets.npy")
        return cls(tokenizer, layout, tokens, offsets, buckets, pad)

    @staticmethod
    def write(folder: Path, tokenizer: Tokenizer, texts: Sequence[str], longest: int) -> None:
        """Tokenises the item texts, each cut at `longest` tokens."""
        folder.mkdir(parents=True)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.save(str(folder / _TOKENIZER))
        layout = json.dumps(asdict(PairLayout.from_tokenizer(tokenizer)))
        (folder / _LAYOUT).write_text(layout, "utf-8")
        encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ids = [encoding.ids[:longest] for encoding in encodings]
        np.save(folder / "tokens.npy", np.asarray([token for text_ids in ids for token in text_ids], np.int32))
        np.save(folder / "offsets.npy", np.cumsum([0, *map(len, ids)], dtype=np.int64))

    def join(self, query: str, texts: NDArray[np.int32], text_of: Callable[[int], str] = lambda text: "") -> list[Pair]:
        """Joins the query with each text, without padding.

        A pair that is too long loses the end of its longer side, as the libraries' `longest_first` does (to a token,
        where both sides are longer than a pair may be: of such an item the end is not stored).

        Args:
            query: The query.
            texts: Rows of texts, int32 `[texts]`.
            text_of: Returns the text of a row that the bundle has not.
        """
        query_ids = self._tokenizer.encode(query, add_special_tokens=False).ids[: self._buckets[-1]]  # as items are
        return [self._pair(query_ids, self._item_ids(int(text), text_of)) for text in texts]

    def join_texts(self, query: str, texts: Sequence[str]) -> tuple[list[Pair], NDArray[np.bool_], bool]:
        """Joins the query with texts that are no items, as `join` does.

        Returns:
            The pairs; which texts lost their end, bool `[texts]`; and whether the query did in some pair.
        """
        query_ids = self._tokenizer.encode(query, add_special_tokens=False).ids
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        longest, room = self._buckets[-1], self._buckets[-1] - self._layout.specials
        kept = [self._kept(len(query_ids[:longest]), min(len(encoding.ids), longest)) for encoding in encodings]
        pairs = [self._pair(query_ids[:longest], encoding.ids[:longest]) for encoding in encodings]
        lengths = zip(kept, encodings, strict=True)
        cut = np.asarray([len(encoding.ids) > room - of_query for of_query, encoding in lengths], np.bool_)
        return pairs, cut, len(query_ids) > min(kept, default=len(query_ids))

    def _pair(self, query_ids: Sequence[int], item: Sequence[int]) -> Pair:
        layout, room = self._layout, self._buckets[-1] - self._layout.specials
        kept = self._kept(len(query_ids), len(item))
        tokens = [
            *layout.before,
            *((token, layout.query_type) for token in query_ids[:kept]),
            *layout.between,
            *((token, layout.item_type) for token in item[: room - kept]),
            *layout.after,
        ]
        return [token for token, _ in tokens], [token_type for _, token_type in tokens]

    def _kept(self, query: int, item: int) -> int:
        """How many of the query's tokens a pair has room for, given how many both sides have."""
        room = self._buckets[-1] - self._layout.specials
        shorter, longer = sorted((query, item))
        least = max(min(shorter, room - longer), min(shorter, room // 2))
        return least if query <= item else min(query, room - least)

    def _item_ids(self, text: int, text_of: Callable[[int], str]) -> list[int]:
        """The tokens of a text, cut as those in the bundle are."""
        if text < len(self._offsets) - 1:
            ids: list[int] = self._tokens[self._offsets[text] : self._offsets[text + 1]].tolist()
            return ids
        return list(self._tokenizer.encode(text_of(text), add_special_tokens=False).ids[: self._buckets[-1]])

    def bucket(self, pairs: Sequence[Pair]) -> int:
        """The smallest bucket that holds each of these pairs; the first where there are none."""
        longest = max((len(ids) for ids, _ in pairs), default=0)
        return next(bucket for bucket in self._buckets if bucket >= longest)

    def pad(self, pairs: Sequence[Sequence[Pair]], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Puts the pairs of a batch of requests into two tensors.

        Args:
            pairs: For each request its pairs, `count` at most; none for a request without a query.
            count: How many pairs a request has room for.

        Returns:
            Token ids and types, int64 `[requests, count, length]`, the length being the smallest bucket that holds
            every pair. What is padding has the pad token alone.
        """
        length = max(self.bucket(request_pairs) for request_pairs in pairs)
        ids = np.full((len(pairs), count, length), self._pad, np.int64)
        types = np.zeros_like(ids)
        for i, request_pairs in enumerate(pairs):
            for j, (pair_ids, pair_types) in enumerate(request_pairs):
                ids[i, j, : len(pair_ids)], types[i, j, : len(pair_types)] = pair_ids, pair_types
        return ids, types
