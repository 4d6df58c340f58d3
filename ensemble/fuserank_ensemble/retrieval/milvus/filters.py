"""Translates filters to Milvus' language; each keeps the items that `fuserank_ensemble.catalog.filters` keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR, Kind, Mask, parse
from fuserank_ensemble.contract.identity import clean_identity

ROW = "row"
MAX_ROWS_IN_FILTER = 65_536  # half a megabyte of numbers
_EVERY, _NONE = f"{ROW} >= 0", f"{ROW} < 0"
_BOUNDS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def field_names(kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Each column's field in a collection: numbered, since a column's name may hold anything and a field's may not."""
    return {name: f"field_{position}" for position, name in enumerate(kinds)}


def expression(condition: Mapping[str, Any], kinds: Mapping[str, Kind]) -> str:
    """Translates a filter to Milvus' language.

    A condition on a missing value is unknown to Milvus, and `not` keeps it unknown; here it is false, and its `not` is
    true. So every condition also asks that the value is there.

    Args:
        condition: A filter as in `fuserank_ensemble.catalog.filters`.
        kinds: The catalogue's filterable fields.

    Raises:
        InvalidRequestError: As `fuserank_ensemble.catalog.filters.parse`.
    """
    parse(condition, kinds)
    return _conjunction(condition, kinds, field_names(kinds))


def _conjunction(condition: Mapping[str, Any], kinds: Mapping[str, Kind], fields: Mapping[str, str]) -> str:
    parts = []
    for name, wanted in condition.items():
        if name == "not":
            parts.append(f"not ({_conjunction(wanted, kinds, fields)})")
        elif name in ("and", "or"):
            parts.append(f" {name} ".join(f"({_conjunction(part, kinds, fields)})" for part in wanted))
        else:
            field = fields[name]
            present = "" if kinds[name] == "keywords" else f"{field} is not null and "
            parts.append(f"{present}({_CONDITIONS[kinds[name]](field, wanted)})")
    return " and ".join(f"({part})" for part in parts) or _EVERY


def rows_expression(allowed: Mask) -> str | None:
    """A mask as the shorter list of rows, to keep or to leave out; None where both are too long to send."""
    kept = int(np.count_nonzero(allowed))
    few_kept = kept <= len(allowed) - kept
    rows = np.flatnonzero(allowed if few_kept else ~allowed)
    if len(rows) > MAX_ROWS_IN_FILTER:
        return None
    if not len(rows):
        return _NONE if few_kept else ""
    return f"{ROW} {'in' if few_kept else 'not in'} [{','.join(map(str, rows))}]"


def _number(field: str, wanted: Any) -> str:
    if isinstance(wanted, dict):
        return " and ".join(f"{field} {_BOUNDS[bound]} {float(to)!r}" for bound, to in wanted.items())
    choices = wanted if isinstance(wanted, list) else [wanted]
    # Adding 0.0 makes -0.0 the 0.0 that it equals; a set in Milvus tells them apart.
    return f"{field} in [{','.join(repr(float(value) + 0.0) for value in choices)}]"


def _bool(field: str, wanted: Any) -> str:
    return f"{field} == {'true' if wanted else 'false'}"


def _keyword(field: str, wanted: Any) -> str:
    return f"{field} in {_quoted_all(wanted)}"


def _keywords(field: str, wanted: Any) -> str:
    return f"array_contains_any({field}, {_quoted_all(wanted)})"


def _category(field: str, wanted: Any) -> str:
    words = wanted if isinstance(wanted, list) else [wanted]
    paths = [CATEGORY_SEPARATOR.join(part.strip() for part in clean_identity(word).split(">")) for word in words]
    return " or ".join(f"{field} == {_quoted(path)} or ({_below(field, path)})" for path in paths)


def _below(field: str, path: str) -> str:
    """What starts with the path and a separator, as a range: `like` would give % and _ in a name a meaning."""
    start = path + CATEGORY_SEPARATOR
    return f"{field} >= {_quoted(start)} and {field} < {_quoted(start[:-1] + chr(ord(start[-1]) + 1))}"


def _quoted_all(wanted: Any) -> str:
    return f"[{','.join(_quoted(clean_identity(word)) for word in (wanted if isinstance(wanted, list) else [wanted]))}]"


def _quoted(word: str) -> str:
    # A lone surrogate is no UTF-8, which is what travels; no word of the catalogue has one either.
    return '"' + word.encode("utf-8", "replace").decode("utf-8").translate(_ESCAPES) + '"'


_CONDITIONS: dict[Kind, Callable[[str, Any], str]] = {
    "number": _number,
    "bool": _bool,
    "keyword": _keyword,
    "keywords": _keywords,
    "category": _category,
}
