"""What relates the items of `similar` to what they are to be like, and the sentences that say so."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import CATEGORIES
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.ranking.wording import SEPARATOR, format_sentence, label
from fuserank_ensemble.retrieval.graph.entities import CATEGORY
from fuserank_ensemble.retrieval.graph.index import GraphIndex

NEARER = 1e-3  # of a cosine: what differs by less is equally near, as fp16 rounds
_NAMED_ENTITIES = 3


@dataclass(frozen=True)
class Entity:
    """A brand, category or attribute that two items share.

    Attributes:
        kind: The catalogue's field that it comes from.
        name: Its value there.
        in_fields: Whether both items hold it in that field; else the title of one names it, or a text does.
    """

    kind: str
    name: str
    in_fields: bool


@dataclass(frozen=True)
class Relations:
    """What relates one item to what was asked.

    Attributes:
        entities: What both have, those of fields first.
        users: How many users had both.
    """

    entities: Sequence[Entity] = ()
    users: int = 0


class RelationFinder:
    """Finds what relates items to an item or a text. It reads what the channels `graph` and `collaborative` learned."""

    def __init__(self, items: Items, graph: GraphIndex | None, histories: HistorySnapshot) -> None:
        """Joins what is read.

        Args:
            items: The catalogue.
            graph: The knowledge graph; None where nothing is related.
            histories: What each user had.
        """
        self._items, self._graph, self._histories = items, graph, histories

    @property
    def fields(self) -> frozenset[str]:
        """The catalogue's fields that relate items; none without a graph."""
        return frozenset() if self._graph is None else self._graph.names.fields

    def over(self, items: Items, changed: Mapping[int, Mapping[str, Any]]) -> RelationFinder:
        """Returns the same over a catalogue whose items have other values.

        Args:
            items: The catalogue.
            changed: All fields of the items some of whose `fields` are new or changed, by row.
        """
        graph = self._graph
        if graph is not None:
            graph = graph.linked({row: graph.names.link_record(fields) for row, fields in changed.items()})
        return RelationFinder(items, graph, self._histories)

    def of_item(self, anchor: int, rows: NDArray[np.int32]) -> list[Relations]:
        """Returns what relates each of some items `[rows]` to another item."""
        entities = [] if self._graph is None else self._graph.relating_entities(anchor)
        users = self._histories.count_common_users(anchor, rows).tolist()
        shared = self._shared(entities, np.append(rows, np.int32(anchor)))
        return [
            Relations(self._describe(of_row, [anchor, row]), count)
            for of_row, row, count in zip(shared, rows.tolist(), users, strict=False)
        ]

    def of_text(self, text: str, rows: NDArray[np.int32]) -> list[Relations]:
        """Returns what relates each of some items `[rows]` to a text: the entities that it names."""
        entities = [] if self._graph is None else self._graph.names.link(text)
        return [Relations(self._describe(of_row, [])) for of_row in self._shared(entities, rows)]

    def _shared(self, entities: Collection[int], rows: NDArray[np.int32]) -> list[list[int]]:
        """Returns which of some entities each item has."""
        shared: list[list[int]] = [[] for _ in rows]
        for entity in entities:
            assert self._graph is not None
            for place in np.flatnonzero(np.isin(rows, self._graph.members_of(entity))).tolist():
                shared[place].append(entity)
        return shared

    def _describe(self, entities: Sequence[int], rows: Sequence[int]) -> list[Entity]:
        """Returns entities by field and value; a category that is also one of several counts once."""
        if self._graph is None:
            return []
        names = self._graph.names
        described: dict[tuple[str, str], Entity] = {}
        for entity in entities:
            kind, name = names.kinds[entity], names.names[entity]
            kind = CATEGORY if kind == CATEGORIES else kind
            in_fields = bool(rows) and all(self._holds(row, names.kinds[entity], name) for row in rows)
            if in_fields or (kind, name) not in described:
                described[kind, name] = Entity(kind, name, in_fields)
        return sorted(described.values(), key=lambda entity: not entity.in_fields)

    def _holds(self, row: int, field: str, value: str) -> bool:
        """Returns whether an item has a value in a field."""
        column = self._items.columns.by_name[field]
        code = bisect.bisect_left(column.words, value)
        if column.words[code : code + 1] != [value]:
            return False  # the upper level of a category
        if column.owners is None:
            return bool(column.values[row] == code)
        start, end = (np.searchsorted(column.owners, row, side) for side in ("left", "right"))
        return bool((column.values[start:end] == code).any())


@dataclass(frozen=True)
class SimilarItem:
    """One item of an answer of `similar`, to be explained.

    Attributes:
        cosine: How near it is to what was asked.
        comes_early: Whether it stands before a nearer item.
        related_by: The channels that relate it to what was asked, of `graph`, `collaborative` and `lexical`.
        relations: What relates it.
        shared_words: Words of the text that it holds.
    """

    cosine: float
    comes_early: bool
    related_by: Collection[str]
    relations: Relations
    shared_words: Sequence[str] = ()


def comes_early(cosines: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns which items of an answer stand before a nearer one, bool `[items]`."""
    if not len(cosines):
        return np.zeros(0, np.bool_)
    nearest_behind = np.maximum.accumulate(cosines[::-1])[::-1]
    early: NDArray[np.bool_] = cosines < nearest_behind - NEARER
    return early


def explain_similar(item: SimilarItem, asked: str, language: Language, bought: bool = False) -> list[dict[str, Any]]:
    """Returns the signals of an item: how near it is, what relates it, and why it stands before nearer ones.

    The score of `similar` is the cosine, so that `text` contributes all of it, and relations nothing.

    Args:
        item: The item.
        asked: The title or the text that it is to be like.
        language: Of the sentences.
        bought: Whether all that users had was bought, not only looked at.
    """
    related = {name: SEPARATOR[language].join(_sentences(name, item, asked, language, bought)) for name in _CHANNELS}
    related = {name: reason for name, reason in related.items() if name in item.related_by and reason}
    near = format_sentence(language, "text", share=item.cosine, query=asked)
    signals = [{"name": "text", "value": item.cosine, "contribution": item.cosine, "share": 1.0, "reason": near}]
    signals += [_without_contribution(name, reason) for name, reason in related.items()]
    if item.comes_early:
        reasons = SEPARATOR[language].join(related.values())
        signals.append(_without_contribution("placement", format_sentence(language, "related", relations=reasons)))
    return signals


_CHANNELS = ("graph", "collaborative", "lexical")


def _without_contribution(name: str, reason: str) -> dict[str, Any]:
    return {"name": name, "value": None, "contribution": 0.0, "share": 0.0, "reason": reason}


def _sentences(channel: str, item: SimilarItem, asked: str, language: Language, bought: bool) -> Iterator[str]:
    """Yields what a channel knows of an item in words."""
    if channel == "graph":
        for entity in item.relations.entities[:_NAMED_ENTITIES]:
            sentence = "same_entity" if entity.in_fields else "named_entity"
            yield format_sentence(language, sentence, label=label(language, entity.kind), name=entity.name)
    elif channel == "collaborative":
        had = "bought" if bought else "had"
        if item.relations.users:
            yield format_sentence(language, f"same_users_{had}", users=item.relations.users)
        else:
            yield format_sentence(language, f"like_users_{had}")
    elif item.shared_words:
        yield format_sentence(language, "lexical", words=", ".join(dict.fromkeys(item.shared_words)))
    else:
        yield format_sentence(language, "lexical_guess", query=asked)
