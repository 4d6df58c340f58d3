"""The bodies of requests: the options of the client's own types, closed, so that a misspelt one is an error."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request

from fuserank.errors import InvalidRequestError
from fuserank.events import Event
from fuserank.rest.closed import close_options
from fuserank.rest.faults import explain_fault
from fuserank.types import SearchOptions, SimilarOptions, Suggestion

MAX_BODY_BYTES = 8 * 2**20
Body = TypeVar("Body", bound=msgspec.Struct)
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


async def read_content(request: Request) -> bytes:
    """Returns a body of JSON.

    Raises:
        InvalidRequestError: Where it says that it is something else, or is too long.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if media_type != "application/json":
        raise InvalidRequestError(f"HEADERS.Content-Type: found {media_type!r}; allowed: application/json")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise InvalidRequestError(f"BODY: found more bytes; allowed: {MAX_BODY_BYTES:,} bytes")
    return bytes(content)


def read_body(kind: type[msgspec.Struct], content: bytes) -> dict[str, Any]:
    """Returns what a body holds, without the keys that it leaves out; errors as of `decode_body`."""
    held: dict[str, Any] = msgspec.to_builtins(decode_body(kind, content))
    return held


def decode_body(kind: type[Body], content: bytes) -> Body:
    """Returns a body.

    Raises:
        InvalidRequestError: Names the key, what it held and what is allowed.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequestError(explain_fault(kind, content, error)) from None
