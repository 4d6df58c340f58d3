"""Checks what a request asks of a page against the catalogue's fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from fuserank_ensemble.catalog.filters import Kind
from fuserank_ensemble.contract.errors import Description, InvalidRequestError, format_value, nearest
from fuserank_ensemble.contract.options import Options
from fuserank_ensemble.contract.page import ALLOWED, MAX_LISTED, SORTS, Facet, PageRequest, Sort

# The field of numbers that each order reads; the others need none.
SORTED_BY: Mapping[Sort, str] = {"price_asc": "price", "price_desc": "price", "rating": "rating"}
COLLAPSIBLE: tuple[Kind, ...] = ("keyword", "category")


def check_page(page: PageRequest, options: Options, kinds: Mapping[str, Kind], compared: int, ranked: int) -> None:
    """Checks what types alone do not.

    Args:
        page: What the options ask of a page.
        options: All options.
        kinds: The catalogue's filterable fields.
        compared: How many items the ranker compares with each other, see `GraphSpec.candidates`.
        ranked: How many it may be asked for at once.

    Raises:
        InvalidRequestError: Naming the option that cannot be followed.
    """
    _check_facets(page.facets, kinds)
    if isinstance(page.collapse, str) and kinds.get(page.collapse) not in COLLAPSIBLE:
        fields = [name for name, kind in kinds.items() if kind in COLLAPSIBLE]
        allowed = f"true, or a field of one text an item: {nearest(page.collapse, fields)}"
        raise InvalidRequestError("OPTIONS.collapse", page.collapse, allowed)
    column = SORTED_BY.get(page.sort)
    if column is not None and kinds.get(column) != "number":
        can = [sort for sort in SORTS if sort not in SORTED_BY or kinds.get(SORTED_BY[sort]) == "number"]
        allowed = f"{', '.join(can)}; this catalogue has no field {column} of numbers, which this order needs"
        raise InvalidRequestError("OPTIONS.sort", page.sort, allowed)
    if page.sort != "relevance":
        steering = {
            "rules": bool(options.rules),
            "diversity": bool(options.diversity),
            "explore": options.explore is not None,
            "exposure": bool(options.exposure),
        }
        steers = [name for name, given in steering.items() if given]
        if steers:
            found = Description(f"{page.sort} with {' and '.join(steers)}")
            raise InvalidRequestError("OPTIONS.sort", found, "relevance with these; without them, every order")
    _check_offset(page.offset, options, compared, ranked)


def check_exposure(options: Options, kinds: Mapping[str, Kind]) -> None:
    """Checks what shares of a page a request allows.

    Args:
        options: All options.
        kinds: The catalogue's filterable fields.

    Raises:
        InvalidRequestError: On a field without one value an item, a share that is no number, or beside `explore`.
    """
    for field, limit in (options.exposure or {}).items():
        path = f"OPTIONS.exposure.{field}"
        if kinds.get(field) not in COLLAPSIBLE:
            fields = [name for name, kind in kinds.items() if kind in COLLAPSIBLE]
            raise InvalidRequestError(
                path, Description("another field"), f"a field of one text: {nearest(field, fields)}"
            )
        share = limit.get("max_share") if isinstance(limit, dict) and len(limit) == 1 else None
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise InvalidRequestError(path, limit, '{"max_share": a share above 0, up to 1}')
    if options.exposure and options.explore is not None:
        raise InvalidRequestError("OPTIONS.exposure", Description("one with explore"), "one of them alone")


def _check_facets(facets: Sequence[Facet], kinds: Mapping[str, Kind]) -> None:
    seen: set[str] = set()
    for i, facet in enumerate(facets):
        path = f"OPTIONS.facets[{i}]"
        if facet.field not in kinds:
            described = Description(f"{format_value(facet.field)}, which no filter can name")
            raise InvalidRequestError(f"{path}.field", described, nearest(facet.field, kinds))
        if facet.field in seen:
            raise InvalidRequestError(f"{path}.field", Description(f"{facet.field} twice"), "each field once")
        seen.add(facet.field)
        is_number = kinds[facet.field] == "number"
        if facet.ranges is not None and not is_number:
            found = Description(f"ranges of a {kinds[facet.field]}")
            raise InvalidRequestError(f"{path}.ranges", found, "a field of numbers; values of others are counted")
        if facet.limit is not None and is_number:
            raise InvalidRequestError(f"{path}.limit", facet.limit, "no limit for numbers: they have ranges")
        if isinstance(facet.ranges, list):
            rising = all(map(math.isfinite, facet.ranges)) and all(low < high for low, high in pairwise(facet.ranges))
            if not rising:
                raise InvalidRequestError(f"{path}.ranges", facet.ranges, ALLOWED["facets.ranges"])


def _check_offset(offset: int, options: Options, compared: int, ranked: int) -> None:
    k, last = options.k, offset + options.k
    if last > MAX_LISTED:
        raise InvalidRequestError("OPTIONS.offset", Description(f"{offset} with k {k}"), ALLOWED["offset"])
    if offset and options.explore is not None:
        found = Description(f"{offset} with explore")
        raise InvalidRequestError("OPTIONS.offset", found, "0 with explore: its slots are places of the first page")
    pins = [rule.last_pin for rule in options.rules if rule.pin is not None]
    last = max([last, *pins])
    whole = "pins" if pins else "exposure" if options.exposure else ""  # what needs all pages before it
    if last > ranked and (whole or offset < compared):
        found = Description(f"{offset} with k {k}" + (f" and {whole}" if whole else ""))
        allowed = f"offset + k up to {ranked}" + ("" if whole else f", or an offset from {compared}")
        raise InvalidRequestError("OPTIONS.offset", found, allowed)
