"""The OpenAPI document: every path with the types that decode its body and encode its reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import msgspec

from fuserank.rest import bodies


@dataclass(frozen=True)
class Operation:
    """What a method of a path does.

    Attributes:
        method: In lower case.
        path: With its parameters in braces.
        summary: One sentence.
        body: The type of its body; None where it has none.
        reply: The type of its reply.
        query: Parameters of the address, each with its JSON type.
    """

    method: str
    path: str
    summary: str
    body: type[msgspec.Struct] | None
    reply: type[Any]
    query: Mapping[str, str] = field(default_factory=dict)


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """Returns the document of some operations."""
    _, components = msgspec.json.schema_components((*bodies.BODIES, *bodies.REPLIES), ref_template=bodies.REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _describe_operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "FuseRank", "version": version("fuserank")},
        "paths": paths,
        "components": {"schemas": components},
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
            "200": {"description": "The answer.", "content": _json_of(operation.reply)},
            "400": {"description": "The request has to be changed.", "content": _json_of(bodies.Problem)},
            "503": {"description": "Try again later.", "content": _json_of(bodies.Problem)},
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json_of(operation.body)}
    return described


_NO_BRACES = str.maketrans("", "", "{}")


def _json_of(kind: type[Any]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": bodies.REFERENCE.format(name=kind.__name__)}}}
