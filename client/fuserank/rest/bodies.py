"""The bodies of requests: the options of the client's own types, closed, so that a misspelt one is an error."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from fuserank.changes import CatalogResult
from fuserank.errors import InvalidRequestError
from fuserank.events import Event, Profile, ProfileChange, RecordResult
from fuserank.types import SearchOptions, SearchResult, SimilarOptions, Suggestion

MAX_BODY_BYTES = 8 * 2**20


def close_options(name: str, options: type[Any], **leading: tuple[type[Any], Any]) -> type[msgspec.Struct]:
    """Returns a type of request bodies: the keys of a TypedDict, each optional, and no others.

    Args:
        name: The type's name in the OpenAPI document.
        options: A TypedDict of options.
        **leading: Further keys, each with its type and default.
    """
    hints = get_type_hints(options)
    fields = [(key, kind, default) for key, (kind, default) in leading.items()]
    fields += [(key, hint | UnsetType, UNSET) for key, hint in hints.items()]
    return msgspec.defstruct(
        name, fields, forbid_unknown_fields=True, kw_only=True, namespace={"__doc__": options.__doc__}
    )


Search = close_options("Search", SearchOptions, query=(str, ""), user=(str, ""))
Similar = close_options("Similar", SimilarOptions, item_id=(str, ""), text=(str, ""))
Record = msgspec.defstruct("Record", [("events", list[Event])], forbid_unknown_fields=True)
Change = msgspec.defstruct("Change", [("changes", list[dict[str, Any]])], forbid_unknown_fields=True)
Merge = msgspec.defstruct("Merge", [("from_session", str, ""), ("from_user", str, "")], forbid_unknown_fields=True)
Suggestions = msgspec.defstruct("Suggestions", [("suggestions", list[Suggestion])])
Problem = msgspec.defstruct("Problem", [("error", str), ("field", str | None, None)])

BODIES = (Search, Similar, Record, Change, Merge)
REPLIES = (SearchResult, Suggestions, RecordResult, CatalogResult, Profile, ProfileChange, Problem)


def read_body(kind: type[msgspec.Struct], content: bytes) -> dict[str, Any]:
    """Returns what a body holds, without the keys that it leaves out.

    Raises:
        InvalidRequestError: Names the key, what it held and what is allowed.
    """
    try:
        body = msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequestError(_explain(kind, content, error)) from None
    given = {name: getattr(body, name) for name in kind.__struct_fields__}
    return {name: value for name, value in given.items() if value is not UNSET}


def _explain(kind: type[msgspec.Struct], content: bytes, error: msgspec.DecodeError) -> str:
    """Returns a message that names the unknown key with the nearest known one, else msgspec's own with the place."""
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError as malformed:
        return f"BODY: found malformed JSON ({malformed}); allowed: a JSON object"
    known = kind.__struct_fields__
    for name in value if isinstance(value, Mapping) else ():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
            return f"BODY.{name}: found an unknown key; allowed: {', '.join(sorted(known))}{hint}"
    text, _, place = str(error).partition(" - at `$")
    return f"BODY{place.rstrip('`')}: found another type; allowed: {text.removeprefix('Expected ')}"
