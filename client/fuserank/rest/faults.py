"""What is wrong with a request body: the path, what stands there, and what may stand there."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from msgspec import inspect

MAX_QUOTED = 80


def explain_fault(kind: type[msgspec.Struct], content: bytes, error: msgspec.DecodeError) -> str:
    """Returns why a body is none of a kind: its first unknown key, else the value that msgspec names.

    Args:
        kind: What the body should be.
        content: The body.
        error: What decoding it raised.
    """
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError as malformed:
        return f"BODY: found malformed JSON ({malformed}); allowed: a JSON object"
    nodes = list(_walk(value, inspect.type_info(kind), "BODY"))
    for path, held, node in nodes:
        if isinstance(node, inspect.StructType):
            known = [field.encode_name for field in node.fields]
            for name in held:
                if name not in known:
                    return explain_unknown(f"{path}.{name}", "key", known)
    message, _, place = str(error).partition(" - at `$")
    # msgspec does not say which key of a free-form object: the whole object is quoted, and its message says the rest.
    place, _, below = place.rstrip("`").partition("[...]")
    matching = [(held, node) for path, held, node in nodes if path == f"BODY{place}"]
    held = matching[0][0] if matching else value
    literals = [node for _, node in matching if isinstance(node, inspect.LiteralType)]
    if literals and not below:
        allowed = ", ".join(map(str, literals[0].values))
    else:
        allowed = message.removeprefix("Expected ").partition(", got ")[0].replace("`", "")
        allowed += f" at {below.lstrip('.')}" if below else ""
    return f"BODY{place}: found {_quote(held)}; allowed: {allowed}"


def explain_unknown(path: str, what: str, known: Collection[str]) -> str:
    """Returns the message for a name that there is not, with the nearest one that there is."""
    nearest = difflib.get_close_matches(path.rpartition(".")[2], known, 1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"{path}: found an unknown {what}; allowed: {', '.join(sorted(known)) or 'none'}{hint}"


def _walk(value: Any, kind: inspect.Type, path: str) -> Iterator[tuple[str, Any, inspect.Type]]:
    """Yields each value with its path and each type that it may be of; an object only with types of objects."""
    match kind:
        case inspect.UnionType(types=types):
            for one in types:
                yield from _walk(value, one, path)
        case inspect.StructType(fields=fields):
            if isinstance(value, dict):
                yield path, value, kind
                for field in fields:
                    if field.encode_name in value:
                        yield from _walk(value[field.encode_name], field.type, f"{path}.{field.encode_name}")
        case inspect.DictType(value_type=inner):
            yield path, value, kind
            for name, held in value.items() if isinstance(value, dict) else ():
                yield from _walk(held, inner, f"{path}.{name}")
        case inspect.CollectionType(item_type=inner):
            yield path, value, kind
            for place, held in enumerate(value if isinstance(value, list) else ()):
                yield from _walk(held, inner, f"{path}[{place}]")
        case _:
            yield path, value, kind


def _quote(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"
