"""Shops of any size made by code: a catalogue with categories, and a log with habits and queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SEED = 29
DAYS, LAST_DAY = 364, np.datetime64("2026-09-30T00:00:00", "s")
EVENTS_PER_USER = 60
HABITS = 24  # items that a user comes back to
HABIT_SHARE = 0.6  # of the events; the others are drawn from a category that the user likes, or from all
LIKED_SHARE = 0.3
QUERY_SHARE = 0.35  # of the events that name what was searched for
EVENTS = {"view": 0.55, "click": 0.2, "cart": 0.1, "purchase": 0.15}
POPULARITY = 0.9  # exponent of the Zipf law that items of a category are had by
ROWS = 500_000  # of a Parquet row group
NOUNS = {
    "Kitchen": "kettle pan knife grater whisk toaster ladle colander jug teapot",
    "Garden": "rake spade hose trowel shears planter sprinkler wheelbarrow trellis bench",
    "Bedroom": "pillow blanket mattress duvet wardrobe lamp rug curtain mirror nightstand",
    "Bathroom": "towel soap mat basket tap shelf brush dispenser plunger scale",
    "Office": "desk chair stapler notebook binder pen printer monitor keyboard drawer",
    "Sports": "racket ball helmet glove tent backpack kayak paddle dumbbell yoga-mat",
    "Music": "violin guitar drum flute keyboard-stand microphone amplifier tuner capo ukulele",
    "Clothing": "jacket shirt scarf belt boot sandal hat skirt sweater sock",
    "Toys": "puzzle doll train kite robot blocks marble yoyo puppet scooter",
    "Pets": "leash bowl aquarium cage harness litter-box collar perch feeder kennel",
    "Tools": "hammer drill saw wrench ladder clamp chisel sander level toolbox",
    "Travel": "suitcase adapter duffel passport-holder neck-pillow luggage-tag umbrella flask organizer strap",
}
ADJECTIVES = [
    "compact",
    "classic",
    "slim",
    "heavy-duty",
    "foldable",
    "portable",
    "soft",
    "sturdy",
    "quiet",
    "light",
    "large",
    "mini",
]
COLOURS = ["black", "white", "red", "blue", "green", "grey", "yellow", "brown", "silver", "beige", "orange", "purple"]
MATERIALS = ["steel", "oak", "cotton", "bamboo", "leather", "glass", "ceramic", "plastic", "wool", "aluminium"]
SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ka",
    "le",
    "mi",
    "no",
    "pu",
    "ra",
    "se",
    "ti",
    "vo",
    "xu",
    "za",
    "or",
    "en",
    "il",
    "um",
]


@dataclass(frozen=True)
class MadeItems:
    """The parts that an item's fields and queries are made of, each a position in its list of words, `[items]`."""

    brand: NDArray[np.int64]
    adjective: NDArray[np.int64]
    colour: NDArray[np.int64]
    noun: NDArray[np.int64]
    material: NDArray[np.int64]


def write_made_shop(folder: Path, items: int, events: int) -> None:
    """Writes `catalog.parquet` and `interactions.parquet`; the same size always gives the same shop.

    Args:
        folder: Where to; it is made.
        items: Rows of the catalogue.
        events: Rows of the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(SEED)
    brands = _names(max(20, round(items**0.5)))
    made = _draw_items(items, len(brands), draw)
    pq.write_table(_catalog(made, brands, draw), folder / "catalog.parquet", row_group_size=ROWS)
    pq.write_table(_log(made, brands, events, draw), folder / "interactions.parquet", row_group_size=ROWS)


def nouns() -> list[tuple[str, str]]:
    """Returns the kinds of items as pairs of department and noun."""
    return [(department, noun) for department, names in NOUNS.items() for noun in names.split()]


def _names(count: int) -> list[str]:
    """Distinct made-up names of two or more syllables."""
    size, base = 2, len(SYLLABLES)
    while base**size < count:
        size += 1
    numbers = np.arange(count) * 7_919 % base**size  # 7,919 is prime: no name comes twice
    digits = [numbers // base**place % base for place in range(size)]
    return ["".join(SYLLABLES[digit] for digit in name).capitalize() for name in zip(*digits, strict=True)]


def _draw_items(count: int, brands: int, draw: np.random.Generator) -> MadeItems:
    shares = 1 / np.arange(1, brands + 1) ** 0.7
    return MadeItems(
        brand=draw.choice(brands, count, p=shares / shares.sum()),
        adjective=draw.integers(0, len(ADJECTIVES), count),
        colour=draw.integers(0, len(COLOURS), count),
        noun=draw.integers(0, len(nouns()), count),
        material=draw.integers(0, len(MATERIALS), count),
    )


def _catalog(made: MadeItems, brands: Sequence[str], draw: np.random.Generator) -> pa.Table:
    """The catalogue's table. Titles end in a model's name and number, so that most of them differ."""
    count = len(made.brand)
    models = _names(max(50, count // 200))
    model, number = draw.integers(0, len(models), count), draw.integers(10, 1_000, count)
    kinds = nouns()
    adjectives, colours, materials = (np.asarray(words, object) for words in (ADJECTIVES, COLOURS, MATERIALS))
    words = zip(
        np.asarray(brands, object)[made.brand],
        adjectives[made.adjective],
        colours[made.colour],
        np.asarray([noun for _, noun in kinds], object)[made.noun],
        materials[made.material],
        np.asarray(models, object)[model],
        number,
        strict=True,
    )
    leaves = [f"{department} > {noun} > {adjective} {noun}" for department, noun in kinds for adjective in ADJECTIVES]
    created = LAST_DAY - draw.integers(0, 4 * DAYS * 86_400, count).astype("timedelta64[s]")
    return pa.table(
        {
            "item_id": pa.array([f"i{row:07d}" for row in range(count)]),
            "title": pa.array([" ".join(map(str, parts)) for parts in words]),
            "category": _coded(made.noun * len(ADJECTIVES) + made.adjective, leaves),
            "brand": _coded(made.brand, brands),
            "price": pa.array(np.round(np.exp(draw.normal(3.0, 0.8, count)), 2)),
            "in_stock": pa.array(draw.random(count) < 0.95),
            "created_at": pa.array(created),
            "colour": _coded(made.colour, COLOURS),
            "material": _coded(made.material, MATERIALS),
            "rating": pa.array(np.round(np.clip(draw.normal(4.0, 0.6, count), 1, 5), 1)),
        }
    )


def _log(made: MadeItems, brands: Sequence[str], events: int, draw: np.random.Generator) -> pa.Table:
    """The log's table, in order of time."""
    users = max(20, events // EVENTS_PER_USER)
    by_popularity = _Popularity(made.noun, draw)
    liked = draw.integers(0, len(nouns()), (users, 4))
    habits = by_popularity.draw(np.repeat(liked, HABITS // 4, axis=1).ravel(), draw).reshape(users, HABITS)
    user = (users * draw.random(events) ** 1.5).astype(np.int32)  # some come far more often than others
    own = habits[user, (HABITS * draw.random(events) ** 2).astype(np.int64)]
    way = draw.random(events)
    of_liked = liked[user, draw.integers(0, 4, events)]
    anything = draw.integers(0, len(nouns()), events)
    others = by_popularity.draw(np.where(way < HABIT_SHARE + LIKED_SHARE, of_liked, anything), draw)
    item = np.where(way < HABIT_SHARE, own, others)
    event = draw.choice(len(EVENTS), events, p=list(EVENTS.values()))
    moments = np.sort(draw.integers(0, DAYS * 86_400, events))
    amount = np.where(
        event == list(EVENTS).index("purchase"), np.round(np.exp(draw.normal(3.0, 0.8, events)), 2), np.nan
    )
    queries, query = _queries(made, brands, item, draw)
    return pa.table(
        {
            "user_id": _coded(user, [f"u{number:06d}" for number in range(users)]),
            "item_id": _coded(item, [f"i{row:07d}" for row in range(len(made.noun))]),
            "event": _coded(event, list(EVENTS)),
            "timestamp": pa.array(LAST_DAY - np.timedelta64(DAYS, "D") + moments.astype("timedelta64[s]")),
            "value": pa.array(amount, from_pandas=True),
            "query": pa.DictionaryArray.from_arrays(
                pa.array(query, pa.int32(), mask=draw.random(events) >= QUERY_SHARE), pa.array(queries)
            ),
        }
    )


class _Popularity:
    """Draws items of a kind, the popular ones more often."""

    def __init__(self, kind: NDArray[np.int64], draw: np.random.Generator) -> None:
        self._order = np.argsort(kind + draw.random(len(kind)), kind="stable")
        self._starts = np.searchsorted(kind[self._order], np.arange(len(nouns()) + 1))

    def draw(self, kinds: NDArray[Any], draw: np.random.Generator) -> NDArray[np.int64]:
        """Returns an item of each kind, any item where there is none of that kind, `[kinds]`."""
        first, sizes = self._starts[kinds], self._starts[kinds + 1] - self._starts[kinds]
        # The inverse of a Zipf law's distribution function, taken as continuous.
        power = 1 - POPULARITY
        rank = ((1 + draw.random(len(kinds)) * ((sizes + 1.0) ** power - 1)) ** (1 / power) - 1).astype(np.int64)
        places = np.minimum(first + np.minimum(rank, np.maximum(sizes - 1, 0)), len(self._order) - 1)
        drawn: NDArray[np.int64] = self._order[places]
        return drawn


def _queries(
    made: MadeItems, brands: Sequence[str], item: NDArray[np.int64], draw: np.random.Generator
) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of queries, and which of them each event's item was found by `[events]`: its noun, with a word beside."""
    kinds, size = nouns(), len(nouns())
    beside = [[""], COLOURS, MATERIALS, ADJECTIVES, brands]
    texts = [f"{word} {noun}".strip().lower() for words in beside for word in words for _, noun in kinds]
    starts = np.cumsum([0, *(len(words) for words in beside)])
    columns = [np.zeros(len(made.noun), np.int64), made.colour, made.material, made.adjective, made.brand]
    form = draw.choice(5, len(item), p=[0.4, 0.15, 0.15, 0.15, 0.15])
    word = np.choose(form, [column[item] for column in columns])
    return texts, (starts[form] + word) * size + made.noun[item]


def _coded(codes: NDArray[Any], words: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words))
