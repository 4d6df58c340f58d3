"""The bodies of requests: the options of the client's own types, closed, so that a misspelt one is an error."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from fuserank.changes import CatalogResult
from fuserank.errors import InvalidRequestError
from fuserank.events import Event, Profile, ProfileChange, RecordResult
from fuserank.rest.closed import close_options
from fuserank.rest.faults import explain_fault
from fuserank.types import SearchOptions, SearchResult, SimilarOptions, Suggestion

MAX_BODY_BYTES = 8 * 2**20
REFERENCE = "#/components/schemas/{name}"

Search = close_options("Search", SearchOptions, query=(str, ""), user=(str, ""))
Similar = close_options("Similar", SimilarOptions, item_id=(str, ""), text=(str, ""))
Described = close_options("Event", Event)
# Each event is checked by the server, which reports a bad one at its place and takes the others.
AnyEvent = Annotated[
    dict[str, Any], msgspec.Meta(extra_json_schema={"$ref": REFERENCE.format(name=Described.__name__)})
]
Record = msgspec.defstruct("Record", [("events", list[AnyEvent])], forbid_unknown_fields=True)
Change = msgspec.defstruct("Change", [("changes", list[dict[str, Any]])], forbid_unknown_fields=True)
Merge = msgspec.defstruct("Merge", [("from_session", str, ""), ("from_user", str, "")], forbid_unknown_fields=True)
Suggestions = msgspec.defstruct("Suggestions", [("suggestions", list[Suggestion])])
Problem = msgspec.defstruct("Problem", [("error", str), ("field", str | None, None)])

BODIES = (Search, Similar, Described, Record, Change, Merge)
REPLIES = (SearchResult, Suggestions, RecordResult, CatalogResult, Profile, ProfileChange, Problem)


def read_body(kind: type[msgspec.Struct], content: bytes) -> dict[str, Any]:
    """Returns what a body holds, without the keys that it leaves out.

    Raises:
        InvalidRequestError: Names the key, what it held and what is allowed.
    """
    try:
        body = msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequestError(explain_fault(kind, content, error)) from None
    held: dict[str, Any] = msgspec.to_builtins(body)
    return held
