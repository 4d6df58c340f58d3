"""What a page of a shop asks for beside its items: facets, paging, sorting and tiles, with their limits.

`fuserank_ensemble.contract.options` reads them from the wire.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

MAX_LISTED = 1_000  # items that all pages of one request have together
MAX_FACETS = 10
MAX_FACET_VALUES = 100
DEFAULT_FACET_VALUES = 20
MAX_RANGES = 20
DEFAULT_RANGES = 5

Sort = Literal["relevance", "price_asc", "price_desc", "newest", "rating", "popularity"]
SORTS: tuple[Sort, ...] = get_args(Sort)


class Facet(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A field whose values are counted over all that matches.

    Attributes:
        field: A filterable field.
        limit: How many values are returned, of a category how many below each; by default `DEFAULT_FACET_VALUES`.
        ranges: Of a number: about how many ranges, or the bounds between them; by default `DEFAULT_RANGES`.
    """

    field: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_FACET_VALUES)] | None = None
    ranges: (
        Annotated[int, msgspec.Meta(ge=2, le=MAX_RANGES)]
        | Annotated[list[float], msgspec.Meta(min_length=1, max_length=MAX_RANGES - 1)]
        | None
    ) = None


class PageRequest(msgspec.Struct, array_like=True):
    """The part of a request's options that makes it a page of what matches.

    Attributes:
        offset: How many items come before.
        facets: What is counted.
        sort: The order.
        collapse: Whether items of a group are one tile: True for packages of one product, or the field that groups.
    """

    offset: int = 0
    facets: list[Facet] = []
    sort: Sort = "relevance"
    collapse: bool | str = False


# What each option allows, in words; errors quote it.
ALLOWED = {
    "facets": f'a list of at most {MAX_FACETS} fields, each a name or such as {{"field": "price", "ranges": 5}}',
    "facets.field": "a filterable field of the catalogue",
    "facets.limit": f"an integer from 1 to {MAX_FACET_VALUES}",
    "facets.ranges": f"how many, 2 to {MAX_RANGES}, or a list of 1 to {MAX_RANGES - 1} rising bounds",
    "offset": f"an integer from 0, such that offset + k is at most {MAX_LISTED:,}",
    "sort": ", ".join(SORTS),
    "collapse": "true for packages of one product, or the name of a field whose items of one value are a tile",
    "highlight": "true or false",
}
