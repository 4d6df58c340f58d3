"""The OpenAPI document: every path with the types that decode its body and encode its reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import msgspec

from fuserank.rest.bodies import REFERENCE, Described, Problem


@dataclass(frozen=True)
class Operation:
    """What a method of a path does.

    Attributes:
        method: In lower case.
        path: With its parameters in braces.
        summary: One sentence.
        bodies: The types of its body, one of which it has; empty where it has none.
        replies: The types of its reply, one of which it has.
        query: Parameters of the address, each with its JSON type.
        problem: The type of an error.
    """

    method: str
    path: str
    summary: str
    bodies: tuple[type[Any], ...]
    replies: tuple[type[Any], ...]
    query: Mapping[str, str] = field(default_factory=dict)
    problem: type[Any] = Problem


def describe(operations: Sequence[Operation], *, has_tokens: bool = False) -> dict[str, Any]:
    """Returns the document of some operations, which may take a token of who asks."""
    kinds = [Described, *(kind for o in operations for kind in (*o.bodies, *o.replies, o.problem))]
    _, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _describe_operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "FuseRank", "version": version("fuserank")},
        "paths": paths,
        "components": {"schemas": components, **(_BEARER if has_tokens else {})},
        **({"security": [{}, {"token": []}]} if has_tokens else {}),
    }


def _describe_operation(operation: Operation) -> dict[str, Any]:
    in_path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method}_{operation.path.strip('/').replace('/', '_').translate(_NO_BRACES)}",
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path),
            *({"name": name, "in": "query", "schema": {"type": kind}} for name, kind in operation.query.items()),
        ],
        "responses": {
            "200": {"description": "The answer.", "content": _json_of(*operation.replies)},
            "400": {"description": "The request has to be changed.", "content": _json_of(operation.problem)},
            "503": {"description": "Try again later.", "content": _json_of(operation.problem)},
        },
    }
    if operation.bodies:
        described["requestBody"] = {"required": True, "content": _json_of(*operation.bodies)}
    return described


_BEARER = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}}
_NO_BRACES = str.maketrans("", "", "{}")


def _json_of(*kinds: type[Any]) -> dict[str, Any]:
    schemas, _ = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    return {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}}}
