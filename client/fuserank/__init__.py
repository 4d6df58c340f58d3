"""The FuseRank client: search and recommendation from one gRPC call.

>>> from fuserank import Client
>>> with Client("127.0.0.1:8001") as client:
...     result = client.search("half gallon milk", user="900", k=10, explain=True)

The names below load on first use, for the command line's sake: gRPC reads its settings from the environment when
it is imported, and `fuserank --help` should not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuserank.aio import AsyncClient
    from fuserank.changes import CatalogResult, ChangeOutcome
    from fuserank.client import Client
    from fuserank.connection import TLS
    from fuserank.errors import (
        AuthenticationError,
        ClientClosedError,
        ConfigurationError,
        DeadlineExceededError,
        FuseRankError,
        IncompatibleServerError,
        InvalidRequestError,
        OverloadedError,
        ServerError,
        ServerUnavailableError,
    )
    from fuserank.events import Event, EventOutcome, FieldError, Profile, ProfileChange, RecordResult
    from fuserank.types import (
        Embeddings,
        Explore,
        ExploreOutcome,
        Exposure,
        ExposureOutcome,
        Facet,
        FacetValue,
        Item,
        ModelStatus,
        RankedDocument,
        Request,
        RerankResult,
        Rule,
        RuleOutcome,
        SearchOptions,
        SearchResult,
        ServerStatus,
        Signal,
        SimilarOptions,
        SponsoredOutcome,
        Status,
        Suggestion,
        TextStatus,
        Total,
        Variant,
    )

__all__ = [
    "TLS",
    "AsyncClient",
    "AuthenticationError",
    "CatalogResult",
    "ChangeOutcome",
    "Client",
    "ClientClosedError",
    "ConfigurationError",
    "DeadlineExceededError",
    "Embeddings",
    "Event",
    "EventOutcome",
    "Explore",
    "ExploreOutcome",
    "Exposure",
    "ExposureOutcome",
    "Facet",
    "FacetValue",
    "FieldError",
    "FuseRankError",
    "IncompatibleServerError",
    "InvalidRequestError",
    "Item",
    "ModelStatus",
    "OverloadedError",
    "Profile",
    "ProfileChange",
    "RankedDocument",
    "RecordResult",
    "Request",
    "RerankResult",
    "Rule",
    "RuleOutcome",
    "SearchOptions",
    "SearchResult",
    "ServerError",
    "ServerStatus",
    "ServerUnavailableError",
    "Signal",
    "SimilarOptions",
    "SponsoredOutcome",
    "Status",
    "Suggestion",
    "TextStatus",
    "Total",
    "Variant",
]

_MODULES = (
    "types",
    "events",
    "changes",
    "errors",
    "connection",
    "client",
    "aio",
)  # each module after those that it imports


def __getattr__(name: str) -> Any:
    """Returns a public name from the module that defines it."""
    if name in __all__:
        for module in _MODULES:
            home = vars(import_module(f"{__name__}.{module}"))
            if name in home:
                globals()[name] = home[name]
                return home[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
