"""What `embed` and `rerank` answer: vectors of texts, and scores of documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # importing the types costs next to nothing
    from numpy.typing import NDArray

TextKind = Literal["query", "document"]


@dataclass(frozen=True)
class TextStatus:
    """How texts were read.

    Attributes:
        bundle: Id of the bundle that served the request.
        model: What read the texts, `encoder-…` or `text_tower-…`: vectors and scores of another mean something else.
        degraded: `query_truncated`, `text_truncated`; empty where all was read whole.
        truncated: Places of the texts whose end was not read.
        tokens: How many tokens were read.
        microseconds: Time spent, as `total`.
    """

    bundle: str = ""
    model: str = ""
    degraded: tuple[str, ...] = ()
    truncated: tuple[int, ...] = ()
    tokens: int = 0
    microseconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The vectors of some texts.

    Attributes:
        vectors: L2-normalised, float32 `[texts, dim]`, in the texts' order.
        status: How they were made.
        request_id: Id of the call in the server's traces and log.
    """

    vectors: NDArray[Any]
    status: TextStatus
    request_id: str = ""


@dataclass(frozen=True)
class RankedDocument:
    """One document with its score.

    Attributes:
        index: Its place among those that were sent.
        score: See `RerankResult`.
        text: The document.
        truncated: Whether its end was not read.
    """

    index: int
    score: float
    text: str
    truncated: bool = False


@dataclass(frozen=True)
class RerankResult:
    """Documents in the order in which they answer a query.

    Attributes:
        documents: Best first. The score is 0 to 1 where a text tower read them (`status.model` says so), else a cosine.
        status: How they were scored.
        request_id: Id of the call in the server's traces and log.
    """

    documents: tuple[RankedDocument, ...]
    status: TextStatus
    request_id: str = ""

    def __iter__(self) -> Iterator[RankedDocument]:
        return iter(self.documents)

    def __len__(self) -> int:
        return len(self.documents)
