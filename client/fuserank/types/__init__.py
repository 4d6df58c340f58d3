"""Requests and results as immutable values."""

from fuserank.types.controls import Explore, Exposure, Facet, Rule
from fuserank.types.counts import FacetValue, Total
from fuserank.types.items import Item, Signal, Variant
from fuserank.types.outcomes import ExploreOutcome, ExposureOutcome, RuleOutcome, SponsoredOutcome
from fuserank.types.requests import Language, Request, SearchOptions, SimilarOptions, Sort
from fuserank.types.results import SearchResult, Status, Suggestion
from fuserank.types.servers import ModelStatus, ServerStatus
from fuserank.types.texts import Embeddings, RankedDocument, RerankResult, TextKind, TextStatus

__all__ = [
    "Embeddings",
    "Explore",
    "ExploreOutcome",
    "Exposure",
    "ExposureOutcome",
    "Facet",
    "FacetValue",
    "Item",
    "Language",
    "ModelStatus",
    "RankedDocument",
    "Request",
    "RerankResult",
    "Rule",
    "RuleOutcome",
    "SearchOptions",
    "SearchResult",
    "ServerStatus",
    "Signal",
    "SimilarOptions",
    "Sort",
    "SponsoredOutcome",
    "Status",
    "Suggestion",
    "TextKind",
    "TextStatus",
    "Total",
    "Variant",
]
