"""Requests: what is asked, and how.

Only the server validates a request: values are sent as they are. An option that is `None` is not sent, so that the
server's default applies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from fuserank.types.controls import Explore, Exposure, Facet, Rule

Language = Literal["en", "zh"]
Sort = Literal["relevance", "price_asc", "price_desc", "newest", "rating", "popularity"]


class SearchOptions(TypedDict, total=False):
    """The keyword options of `search` and `recommend`; `Request` describes them."""

    k: int | None
    history: Sequence[str] | None
    filter: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    objective: Mapping[str, float] | None
    diversity: float | None
    exclude_seen: bool | None
    deadline_ms: float | None
    explain: bool | None
    fields: Sequence[str] | None
    rules: Sequence[Rule] | None
    explore: Explore | None
    language: Language | None
    understand: bool | Sequence[str] | None
    session_id: str | None
    min_position: int | None
    facets: Sequence[str | Facet] | None
    offset: int | None
    sort: Sort | None
    collapse: bool | str | None
    highlight: bool | None
    probability: bool | None
    exposure: Mapping[str, Exposure] | None


class SimilarOptions(TypedDict, total=False):
    """The keyword options of `similar`; `Request` describes those that both have.

    Attributes:
        user: Who looks: what this user hid is left out.
        session_id: The session of who looks: what was hidden in it is left out.
        relation: `substitute` for what may stand in, the default, or `complement` for what is had together with it.
        basket: Ids of items in place of one.
    """

    k: int | None
    filter: Mapping[str, Any] | None
    fields: Sequence[str] | None
    explain: bool | None
    language: Language | None
    user: str | None
    session_id: str | None
    min_position: int | None
    relation: Literal["substitute", "complement"] | None
    basket: Sequence[str] | None


@dataclass(frozen=True)
class Request:
    """One request: a query (search), a user (recommendation), or both.

    Attributes:
        query: What was typed; may be empty.
        user: Id of the user who asks; may be empty, and an unknown id counts as a new user.
        k: How many items to return.
        history: Item ids, newest last. Replaces the history that the server has stored for the user.
        filter: Conditions on catalogue fields, such as `{"brand": "Acme", "price": {"gte": 1, "lt": 5}}`.
        context: Where and when: `timestamp` (epoch seconds or ISO 8601), `region`, `store`, `device`.
        objective: Weights of the ranker's heads: `relevance`, `click`, `purchase`.
        diversity: From 0 (ranking alone) to 1 (variety alone).
        exclude_seen: Whether to leave out items of the history, and other packages of the same products.
        deadline_ms: Milliseconds that the server may spend. It cuts work short rather than failing, and lists what
            it cut in `Status.degraded`. A server that is so busy that the request waits for half of it refuses it with
            `OverloadedError`; the client's `timeout` is the hard limit.
        explain: Whether to return the signals behind each score.
        fields: Catalogue fields to return with each item.
        rules: Items to boost, bury and pin, at most 16 rules; `Status.rules` has the outcome of each.
        explore: Where to show items with few events; no exploration where None.
        language: Language of the signals' reasons: `en` or `zh`.
        understand: Whether sizes, prices, negation, fillers, synonyms and misspelt words in the query are taken for
            what they are, which is the default; False takes its words as they stand, a list such as
            `["sizes", "prices"]` all but what it names.
        session_id: The session of who asks: its events count for somebody who is not logged in, and add to a user's.
        min_position: What the answer must know of the log, as `RecordResult.position` says; `Status.degraded` holds
            `stale` where it does not in time.
        facets: Fields whose values are counted over all that matches, see `Status.facets`. This, `offset`, `sort` and
            `collapse` list what matches alone, and `Status.total` says how much that is.
        offset: How many items come before: 20 with `k` 10 is the third page.
        sort: The order; by relevance where None.
        collapse: True makes packages of one product one tile, a field's name all items of one value; see
            `Item.variants`.
        highlight: Whether to mark the matched words, see `Item.highlights`.
        probability: Whether to say how likely each item is taken, see `Item.probability`.
        exposure: By field what share of a page one value may have, such as `{"brand": {"max_share": 0.4}}`; see
            `Status.exposure`.
    """

    query: str = ""
    user: str = ""
    k: int | None = None
    history: Sequence[str] | None = None
    filter: Mapping[str, Any] | None = None
    context: Mapping[str, Any] | None = None
    objective: Mapping[str, float] | None = None
    diversity: float | None = None
    exclude_seen: bool | None = None
    deadline_ms: float | None = None
    explain: bool | None = None
    fields: Sequence[str] | None = None
    rules: Sequence[Rule] | None = None
    explore: Explore | None = None
    language: Language | None = None
    understand: bool | Sequence[str] | None = None
    session_id: str | None = None
    min_position: int | None = None
    facets: Sequence[str | Facet] | None = None
    offset: int | None = None
    sort: Sort | None = None
    collapse: bool | str | None = None
    highlight: bool | None = None
    probability: bool | None = None
    exposure: Mapping[str, Exposure] | None = None
