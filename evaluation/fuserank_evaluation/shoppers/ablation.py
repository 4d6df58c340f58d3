"""What each part of the product adds: the same queries asked with one part left out, without training anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from fuserank_ensemble.candidates import channel_search
from fuserank_ensemble.candidates.list_cache import ListCache
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.contract.options import UNDERSTOOD_PARTS, UnderstoodPart
from fuserank_ensemble.ranking import adjustments
from fuserank_ensemble.retrieval.channel import Channel, ChannelDeclaration, ChannelQuery, Pool, RankedItems
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel, lexical_pool
from fuserank_ensemble.retrieval.lexical import tiers, words
from fuserank_evaluation.datasets.esci import EsciQueries
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.shoppers.amazon import judged_by_gain
from fuserank_evaluation.shoppers.answers import Product, measure_ndcg
from fuserank_evaluation.shoppers.groceries import HALVES, Asked, measure

COLUMNS = {"type_in_10": "type in 10", "type_first": "first", "ndcg_at_10": "nDCG@10", "absurd_at_3": "absurd at 3"}
AMAZON = "amazon"
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Part:
    """A part of the product that can be left out.

    Attributes:
        name: What it is.
        options: Options of a request that leave it out.
        replaced: Where options cannot, what takes the place of an attribute: its owner, its name and the value.
        personal: Whether it acts on requests with a user alone: then a household asks.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    replaced: Sequence[tuple[Any, str, Any]] = ()
    personal: bool = False

    @contextmanager
    def left_out(self) -> Iterator[Mapping[str, Any]]:
        """Leaves it out of every graph in this process for a while; gives the options to ask with."""
        with ExitStack() as stack:
            for owner, name, value in self.replaced:
                stack.enter_context(patch.object(owner, name, value))
            if self.replaced:  # what was found with the part must not stand in
                stack.enter_context(patch.object(ListCache, "search", _search_anew))
            yield self.options


def _all_but(part: UnderstoodPart) -> dict[str, Any]:
    return {"understand": [name for name in UNDERSTOOD_PARTS if name != part]}


def _match_of_equal_worth(ranked: RankedItems) -> Pool:
    """The lexical channel's pool where a guess is as good as all words of a query."""
    return replace(lexical_pool(ranked), sufficient=len(ranked) > 0)


def _search_anew(_: ListCache, channel: Channel, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
    """Asks the channel whatever was asked before."""
    return channel.search(queries, depth)


def _no_categories(_: Retriever, __: Mapping[str, RankedItems]) -> None:
    """Lets a query mean no category."""


def _no_pool(_: Mapping[str, RankedItems], __: Sequence[ChannelDeclaration]) -> None:
    """Lets a household's habits compete with whatever the query matches."""


NOTHING, NOTHING_PERSONAL = Part("nothing"), Part("nothing, a household asks", personal=True)
PARTS = (
    Part("sizes and units", _all_but("sizes")),
    Part("price limits", _all_but("prices")),
    Part("negation", _all_but("negation")),
    # Words of asking are left out of the search by words even where they stand within a query.
    Part("fillers", _all_but("fillers"), [(words, "fillers", frozenset)]),
    Part("synonyms, in queries", _all_but("synonyms")),
    Part("spelling", _all_but("spelling")),
    Part("all understanding", {"understand": False}),
    Part(
        "guesses weighed by the encoder",
        replaced=[
            (
                LexicalChannel,
                "declaration",
                replace(LexicalChannel.declaration, certain_score=None, pool=_match_of_equal_worth),
            )
        ],
    ),
    Part("heads of titles", replaced=[(tiers, "HEAD_BOOST", 0.0)]),
    Part("category prediction", replaced=[(Retriever, "predict_categories", _no_categories)]),
    Part(
        "departments that are hardly meant stand back",
        replaced=[(adjustments, "OUTSIDE_SHARE", 0.0)],
        personal=True,
    ),
    Part("habits only among matches", replaced=[(channel_search, "select_pool", _no_pool)], personal=True),
)


def ask_without(
    part: Part,
    product: Product,
    asked: Sequence[Asked],
    shop: Product | None,
    queries: EsciQueries | None,
) -> Figures:
    """Returns means of the answered shoppers' queries by half and measure, and of Amazon's queries where there are any.

    Args:
        part: What is left out.
        product: The demo's shop.
        asked: Its queries.
        shop: Amazon's shop.
        queries: Its queries.
    """
    answered = [one for one in asked if one.is_answered]
    with part.left_out() as options:
        lists = [product.answer(one.query.text, one.user if part.personal else "", k=10, **options) for one in answered]
        amazon = [shop.answer(text, k=10, **options) for text in queries.texts] if shop and queries else []
    listed = [replace(one, lists={"product": rows}) for one, rows in zip(answered, lists, strict=True)]
    figures = {
        f"{half}_{name}": float(values.mean())
        for half in HALVES
        for name, values in measure([one for one in listed if one.query.half == half], "product").items()
    }
    if shop and queries:
        figures[AMAZON] = float(measure_ndcg(shop, judged_by_gain(queries), amazon).mean())
    return figures


def ablate(
    product: Product,
    asked: Sequence[Asked],
    shop: Product | None = None,
    queries: EsciQueries | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, Figures]:
    """Returns the figures by what is left out, `NOTHING` and `NOTHING_PERSONAL` first; see `ask_without`."""
    parts = (NOTHING, NOTHING_PERSONAL, *PARTS)
    figures = {}
    for done, part in enumerate(parts, start=1):
        figures[part.name] = ask_without(part, product, asked, shop, queries)
        on_progress("shoppers' words with a part left out", done, len(parts))
    return figures


def ablation_rows(figures: Mapping[str, Figures]) -> Iterator[list[str]]:
    """Rows of a table: what is left out, with each figure and how far it is from that of the whole product."""
    columns = {f"{half}_{name}": f"{half}: {short}" for half in HALVES for name, short in COLUMNS.items()}
    if AMAZON in figures[NOTHING.name]:
        columns[AMAZON] = "Amazon: nDCG@10"
    yield ["left out", *columns.values()]
    personal = {part.name for part in PARTS if part.personal}
    for name, values in figures.items():
        whole = figures[NOTHING_PERSONAL.name if name in personal else NOTHING.name]
        is_whole = name in (NOTHING.name, NOTHING_PERSONAL.name)
        cells = [f"{values[c]:.3f}" + ("" if is_whole else f" ({values[c] - whole[c]:+.3f})") for c in columns]
        yield [f"{name}, a household asks" if name in personal else name, *cells]
