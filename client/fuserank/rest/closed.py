"""Closed types of request bodies: the client's typed dictionaries as structs that refuse what they do not know."""

from __future__ import annotations

import operator
from functools import cache, reduce
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
from msgspec import UNSET, UnsetType


def close_options(name: str, options: type[Any], **leading: tuple[type[Any], Any]) -> type[msgspec.Struct]:
    """Returns a type of objects: the keys of a TypedDict and no others, on every level.

    Args:
        name: The type's name in the OpenAPI document.
        options: A TypedDict; keys that it does not require may be left out.
        **leading: Further keys, each with its type and default.
    """
    hints = {key: close_type(hint) for key, hint in get_type_hints(options).items()}
    fields: list[Any] = [(key, kind, default) for key, (kind, default) in leading.items()]
    for key, hint in hints.items():
        required = key in options.__required_keys__
        fields.append((key, hint) if required else (key, hint | UnsetType, UNSET))
    return msgspec.defstruct(
        name, fields, forbid_unknown_fields=True, kw_only=True, namespace={"__doc__": options.__doc__}
    )


@cache
def close_type(hint: Any) -> Any:
    """Returns a type in which a closed struct stands for each TypedDict."""
    if is_typeddict(hint):
        return close_options(hint.__name__, hint)
    origin, inner = get_origin(hint), get_args(hint)
    if not inner or origin is Literal:
        return hint
    closed = tuple(map(close_type, inner))
    return reduce(operator.or_, closed) if origin in (Union, UnionType) else origin[closed]
