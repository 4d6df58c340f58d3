"""The options of `search`, `similar`, `suggest`, `embed` and `rerank`: limits, defaults and validation.

The client sends options as JSON and checks none of them: the server alone decides what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec

from fuserank_ensemble.contract.controls import ALLOWED, MAX_EXPOSED, MAX_RULES, Explore, Language, Rule
from fuserank_ensemble.contract.errors import Description, InvalidRequestError, nearest
from fuserank_ensemble.contract.page import ALLOWED as ALLOWED_OF_PAGES
from fuserank_ensemble.contract.page import MAX_FACETS, MAX_LISTED, Facet, PageRequest, Sort

# Limits of one request. They bound the work that one caller can ask for, so that no request starves others.
MAX_K = 200
MAX_QUERY_BYTES = 4_096
MAX_USER_ID_BYTES = 256
MAX_SESSION_ID_BYTES = 256
MAX_POSITION = 2**53 - 1  # the largest integer that every JSON reader keeps
MAX_OPTIONS_BYTES = 65_536
MAX_HISTORY = 1_000
MAX_DEADLINE_MS = 60_000
MAX_ITEM_ID_BYTES = 1_024
MAX_TEXT_BYTES = 4_096
MAX_PREFIX_BYTES = 1_024
MAX_SUGGESTIONS = 50
MAX_BASKET = 100
MAX_TEXTS = 1_000  # of one call of `embed` or `rerank`
MAX_LONG_TEXT_BYTES = 32_768  # of each of them
MAX_ALL_TEXTS_BYTES = 4 * 2**20
DEFAULT_K = 10
DEFAULT_SUGGESTIONS = 10

HEADS = ("relevance", "click", "purchase")
# What a query says beside its words; `fuserank_ensemble.understanding` takes it apart.
UnderstoodPart = Literal["sizes", "prices", "negation", "fillers", "synonyms", "spelling"]
TextKind = Literal["query", "document"]  # what a text is encoded as
Relation = Literal["substitute", "complement"]  # what stands in for an item, and what goes with it
UNDERSTOOD_PARTS: tuple[UnderstoodPart, ...] = get_args(UnderstoodPart)

Weight = Annotated[float, msgspec.Meta(ge=0, le=1_000)]


class Objective(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Weights of the ranker's heads; those left out count 0. Only their proportions matter."""

    relevance: Weight = 0.0
    click: Weight = 0.0
    purchase: Weight = 0.0

    def weights(self) -> tuple[float, ...]:
        """The weights in the order of `HEADS`."""
        return (self.relevance, self.click, self.purchase)


class Context(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """When, where and on what the request is made: what people take differs by it."""

    timestamp: float | str | None = None
    region: str | None = None
    store: str | None = None
    device: str | None = None


class Options(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Everything a caller may ask for beyond the query and the user."""

    k: Annotated[int, msgspec.Meta(ge=1, le=MAX_K)] = DEFAULT_K
    history: Annotated[list[str], msgspec.Meta(max_length=MAX_HISTORY)] | None = None
    filter: dict[str, Any] | None = None
    context: Context = msgspec.field(default_factory=Context)
    objective: Objective | None = None
    diversity: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    exclude_seen: bool = False
    deadline_ms: Annotated[float, msgspec.Meta(gt=0, le=MAX_DEADLINE_MS)] | None = None
    explain: bool = False
    fields: list[str] | None = None
    rules: Annotated[list[Rule], msgspec.Meta(max_length=MAX_RULES)] = msgspec.field(default_factory=list)
    explore: Explore | None = None
    language: Language = "en"
    understand: bool | list[UnderstoodPart] = True
    session_id: str = ""
    min_position: Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)] = 0
    facets: Annotated[list[str | Facet], msgspec.Meta(max_length=MAX_FACETS)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0, lt=MAX_LISTED)] | None = None
    sort: Sort | None = None
    collapse: bool | str = False
    highlight: bool = False
    probability: bool = False
    exposure: Annotated[dict[str, Any], msgspec.Meta(min_length=1, max_length=MAX_EXPOSED)] | None = None

    @property
    def shares(self) -> dict[str, float]:
        """What share of a page one value of a field may have, as `check_exposure` has checked it."""
        return {field: float(limit["max_share"]) for field, limit in (self.exposure or {}).items()}

    @property
    def page(self) -> PageRequest | None:
        """What makes the request a page of what matches; None where nothing does."""
        if self.facets is None and self.offset is None and self.sort is None and not self.collapse:
            return None
        facets = [Facet(facet) if isinstance(facet, str) else facet for facet in self.facets or ()]
        return PageRequest(self.offset or 0, facets, self.sort or "relevance", self.collapse)

    @property
    def understood_parts(self) -> tuple[UnderstoodPart, ...]:
        """Which parts of the query are taken for what they are: all, some or none."""
        if isinstance(self.understand, bool):
            return UNDERSTOOD_PARTS if self.understand else ()
        return tuple(self.understand)


class SimilarOptions(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Everything a caller of `similar` may ask for beyond the item or the text."""

    k: Annotated[int, msgspec.Meta(ge=1, le=MAX_K)] = DEFAULT_K
    filter: dict[str, Any] | None = None
    fields: list[str] | None = None
    explain: bool = False
    language: Language = "en"
    user: str = ""  # what this user hid is left out
    session_id: str = ""  # what was hidden in this session is, too
    min_position: Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)] = 0
    relation: Relation = "substitute"
    basket: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_BASKET)] | None = None


class SuggestOptions(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Everything a caller of `suggest` may ask for beyond the prefix."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_SUGGESTIONS)] = DEFAULT_SUGGESTIONS
    user: str = ""  # whose habits order the completions


class EmbedOptions(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Everything a caller of `embed` may ask for beyond the texts."""

    kind: TextKind = "document"


class RerankOptions(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Everything a caller of `rerank` may ask for beyond the query and the documents."""

    raw_scores: bool = False  # a text tower's logits, without the sigmoid


# What each option allows, in words; errors quote it.
_ALLOWED = {
    "k": f"an integer from 1 to {MAX_K}",
    "history": f"a list of at most {MAX_HISTORY:,} item ids (strings), newest last",
    "filter": 'an object such as {"brand": "Acme", "price": {"gte": 1, "lt": 5}}',
    "context": "an object with timestamp, region, store, device",
    "context.timestamp": "seconds since 1970-01-01 UTC, or an ISO 8601 string",
    "context.region": "a string",
    "context.store": "a string",
    "context.device": "a string",
    "objective": f"an object of weights for {', '.join(HEADS)}",
    "user": f"a user's id, at most {MAX_USER_ID_BYTES:,} bytes",
    "diversity": "a number from 0 (ranking alone) to 1 (variety alone)",
    "exclude_seen": "true or false",
    "deadline_ms": f"a number of milliseconds above 0, up to {MAX_DEADLINE_MS:,}",
    "explain": "true or false",
    "understand": f"true, false, or a list of {', '.join(UNDERSTOOD_PARTS)}",
    "fields": "a list of catalogue field names",
    "session_id": f"a string of at most {MAX_SESSION_ID_BYTES} bytes",
    "min_position": f"an integer from 0 to {MAX_POSITION}, such as `record` answered with",
    "relation": "substitute or complement",
    "basket": f"a list of 1 to {MAX_BASKET} item ids (strings)",
    "count": f"an integer from 1 to {MAX_SUGGESTIONS}",
    "probability": "true or false",
    "kind": "query or document",
    "raw_scores": "true or false",
    **ALLOWED,
    **ALLOWED_OF_PAGES,
}
_WEIGHT = "a finite number from 0 to 1,000, with at least one above 0"
_INNER: Mapping[str, type[msgspec.Struct]] = {
    "context": Context,
    "objective": Objective,
    "rules[]": Rule,
    "explore": Explore,
    "facets[]": Facet,
}
AnyOptions = TypeVar("AnyOptions", Options, SimilarOptions, SuggestOptions, EmbedOptions, RerankOptions)


def parse_options(raw: bytes) -> Options:
    """Parses and validates `OPTIONS`.

    Args:
        raw: A UTF-8 JSON object; `{}` stands for all defaults.

    Raises:
        InvalidRequestError: Names the option, what it held, and what is allowed.
    """
    options = _parse(raw, Options, _INNER)
    _check_numbers(options)
    _check_session(options.session_id)
    return options


def parse_similar_options(raw: bytes) -> SimilarOptions:
    """Parses and validates `OPTIONS` of `similar`; see `parse_options`."""
    options = _parse(raw, SimilarOptions, {})
    _check_session(options.session_id)
    return options


def parse_suggest_options(raw: bytes) -> SuggestOptions:
    """Parses and validates `OPTIONS` of `suggest`; see `parse_options`."""
    return _parse(raw, SuggestOptions, {})


def parse_embed_options(raw: bytes) -> EmbedOptions:
    """Parses and validates `OPTIONS` of `embed`; see `parse_options`."""
    return _parse(raw, EmbedOptions, {})


def parse_rerank_options(raw: bytes) -> RerankOptions:
    """Parses and validates `OPTIONS` of `rerank`; see `parse_options`."""
    return _parse(raw, RerankOptions, {})


def _check_session(session_id: str) -> None:
    if (size := len(session_id.encode())) > MAX_SESSION_ID_BYTES:
        raise InvalidRequestError("OPTIONS.session_id", Description(f"{size:,} bytes"), _ALLOWED["session_id"])


def decode_bounded(field: str, raw: bytes, limit: int) -> str:
    """Decodes a request string of at most `limit` bytes.

    Raises:
        InvalidRequestError: Where it is longer, or not UTF-8.
    """
    if len(raw) > limit:
        raise InvalidRequestError(field, Description(f"{len(raw):,} bytes"), f"at most {limit:,} bytes")
    return decode_utf8(field, raw)


def check_fields(names: Iterable[str], known: Collection[str]) -> None:
    """Checks `OPTIONS.fields` against the catalogue's fields.

    Raises:
        InvalidRequestError: Where the catalogue lacks one, naming the nearest that it has.
    """
    for name in names:
        if name not in known:
            described = Description(f"{name!r}, which the catalogue has not")
            raise InvalidRequestError("OPTIONS.fields", described, nearest(name, known))


def decode_utf8(field: str, raw: bytes) -> str:
    """Decodes a request string, or says at which byte it stops being UTF-8.

    Raises:
        InvalidRequestError: Where the bytes are not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = Description(f"byte 0x{raw[error.start]:02x} at position {error.start}")
        raise InvalidRequestError(field, byte, "UTF-8 text") from None


def epoch_seconds(timestamp: float | str) -> float:
    """Reads `context.timestamp`: seconds since the epoch or ISO 8601 (UTC where no zone is named).

    Raises:
        InvalidRequestError: Where it is neither.
    """
    try:
        if isinstance(timestamp, str):
            moment = datetime.fromisoformat(timestamp)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        else:
            seconds = float(timestamp)
            datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidRequestError("OPTIONS.context.timestamp", timestamp, _ALLOWED["context.timestamp"]) from None
    return seconds


def _parse(raw: bytes, struct: type[AnyOptions], inner: Mapping[str, type[msgspec.Struct]]) -> AnyOptions:
    """Reads an options object; `inner` names the options that are objects themselves, with their structs."""
    value = _load_object(raw)
    _check_names(value, {"": struct, **inner})
    try:
        return msgspec.convert(value, struct)
    except msgspec.ValidationError as error:
        raise _request_error(value, error) from None


def _load_object(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_OPTIONS_BYTES:
        raise InvalidRequestError("OPTIONS", Description(f"{len(raw):,} bytes"), f"at most {MAX_OPTIONS_BYTES:,} bytes")
    try:
        # The standard parser and not msgspec's: it lets NaN through, so that the error can name its field.
        value = json.loads(decode_utf8("OPTIONS", raw) or "{}")
    except InvalidRequestError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            "OPTIONS", Description(f"malformed JSON ({error})"), "a JSON object, {} for defaults"
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequestError("OPTIONS", value, "a JSON object, {} for defaults")
    if b"\\u" in raw:
        _check_encodable(value)
    return value


def _check_encodable(value: dict[str, Any]) -> None:
    """Refuses half a character, which JSON's escapes can spell and which cannot be encoded again."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        surrogate = Description(f"the lone surrogate \\u{ord(error.object[error.start]):04x}")
        raise InvalidRequestError("OPTIONS", surrogate, "UTF-8 text") from None


def _check_names(value: dict[str, Any], structs: Mapping[str, type[msgspec.Struct]]) -> None:
    """Refuses options that no struct has, naming the nearest that it has."""
    for place, struct in structs.items():
        known = struct.__struct_fields__
        for path, options in _objects_at(value, place):
            for name in options:
                if name not in known:
                    raise InvalidRequestError(f"{path}.{name}", Description("an unknown option"), nearest(name, known))


def _objects_at(value: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects at a place of the options, each with its path.

    Args:
        value: All options.
        place: An option's name, with `[]` behind it where it holds a list of objects; empty for the options themselves.
    """
    name = place.removesuffix("[]")
    held = value.get(name) if name else value
    path = f"OPTIONS.{name}" if name else "OPTIONS"
    if name == place:
        candidates = [(path, held)]
    else:
        candidates = [(f"{path}[{i}]", element) for i, element in enumerate(held if isinstance(held, list) else ())]
    yield from ((path, element) for path, element in candidates if isinstance(element, dict))


def _check_numbers(options: Options) -> None:
    """Refuses an objective without weight and a time that is none, which a struct's types let through."""
    if options.objective and not any(options.objective.weights()):
        raise InvalidRequestError("OPTIONS.objective", Description("no weight above 0"), _WEIGHT)
    if options.context.timestamp is not None:
        epoch_seconds(options.context.timestamp)


def _request_error(value: dict[str, Any], error: msgspec.ValidationError) -> InvalidRequestError:
    """Turns msgspec's message, which names a path, into one that also quotes what stood there."""
    match = re.search(r"`\$\.?([^`]*)`$", str(error))
    path = match.group(1) if match else ""
    held: Any = value
    for part in re.findall(r"\w+|\[\d+\]", path):
        held = held[int(part[1:-1])] if part.startswith("[") else held.get(part)
    if path in ("history", "rules", "facets") and isinstance(held, list):
        held = Description(f"{len(held):,} {'ids' if path == 'history' else path}")
    allowed = _WEIGHT if path.startswith("objective.") else _ALLOWED.get(re.sub(r"\[\d+\]", "", path), str(error))
    if path.startswith("understand[") and isinstance(held, str):
        allowed = nearest(held, UNDERSTOOD_PARTS)
    return InvalidRequestError(f"OPTIONS.{path}" if path else "OPTIONS", held, allowed)
