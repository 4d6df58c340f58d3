"""The changes of items that `catalog` takes: their fields and limits, and what is said of one that cannot be taken."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fuserank_ensemble.contract.errors import Description, InvalidRequestError, nearest
from fuserank_ensemble.contract.identity import clean_identity
from fuserank_ensemble.contract.json_values import check_size, parse_list, read_moment
from fuserank_ensemble.contract.options import MAX_ITEM_ID_BYTES

MAX_CHANGES = 1_000
MAX_CHANGES_BYTES = 8 * 1024 * 1024
MAX_CHANGE_ID_BYTES = 128
MAX_NEW_ID_BYTES = 256  # of an item's id, as an export takes them
MAX_VALUE_BYTES = 32_768  # of one field, as JSON
LONGEST_WORD = 200  # characters of a value that can be filtered on
MOST_WORDS = 100  # of a field of several values
CHANGES_ALLOWED = f"a JSON list of 1 to {MAX_CHANGES:,} changes"
_ITEM_ID, _CREATED, _PRICE = "item_id", "created_at", "price"
TITLE = "title"
_KNOWN = ("change_id", _ITEM_ID, "fields", "delete")
_SEPARATOR = " > "
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class RequestedChange:
    """A change as it came, with every field checked.

    Attributes:
        change_id: Names the change: the same one counts once.
        item_id: The item.
        fields: New values by field, None where there is none any more.
        delete: Whether the item is to go.
    """

    change_id: str
    item_id: str
    fields: dict[str, Any] = field(default_factory=dict)
    delete: bool = False


@dataclass(frozen=True)
class ChangeReader:
    """Checks changes against a catalogue.

    Attributes:
        kinds: The fields that can be filtered on, and of what kind each is, see `catalog.filters`.
        fields: All fields that items have.
        searched: Those of them that words or vectors are made of.
    """

    kinds: Mapping[str, str]
    fields: frozenset[str]
    searched: frozenset[str] = frozenset()

    def read(self, value: object) -> RequestedChange:
        """Checks one change.

        Args:
            value: A JSON value.

        Raises:
            InvalidRequestError: Names the field, what it held and what is allowed.
        """
        if not isinstance(value, dict):
            raise InvalidRequestError("change", value, "an object with change_id, item_id, and fields or delete")
        for name in value:
            if name not in _KNOWN:
                raise InvalidRequestError(str(name), Description("an unknown field"), nearest(str(name), _KNOWN))
        change_id = _text("change_id", value.get("change_id"), MAX_CHANGE_ID_BYTES)
        item_id = clean_identity(_text(_ITEM_ID, value.get(_ITEM_ID), MAX_ITEM_ID_BYTES))
        fields, delete = value.get("fields"), value.get("delete")
        if delete is not None and not isinstance(delete, bool):
            raise InvalidRequestError("delete", delete, "true or false")
        if bool(delete) == isinstance(fields, dict):
            both = Description("both" if delete else "neither fields nor delete")
            raise InvalidRequestError(
                "fields", both if fields is None or delete else fields, 'an object, or "delete": true'
            )
        if delete:
            return RequestedChange(change_id, item_id, delete=True)
        assert isinstance(fields, dict)
        return RequestedChange(change_id, item_id, {name: self._value(name, held) for name, held in fields.items()})

    def _value(self, name: str, held: Any) -> Any:
        path = f"fields.{name}"
        if name == _ITEM_ID or name not in self.fields:
            known = nearest(name, self.fields - {_ITEM_ID})
            raise InvalidRequestError(path, Description("an unknown field"), f"the catalogue's: {known}")
        if name == TITLE:
            return _title(path, held)
        if held is None:
            return None
        if name == _CREATED:
            return _moment(path, held)
        kind = self.kinds.get(name)
        if kind is not None:
            return _READERS[kind](path, held)
        if name in self.searched:
            _check_readable(path, held)
        if len(json.dumps(held, ensure_ascii=False)) > MAX_VALUE_BYTES:
            raise InvalidRequestError(
                path, Description("a long value"), f"at most {MAX_VALUE_BYTES:,} characters as JSON"
            )
        return held


def parse_changes(raw: bytes) -> list[Any]:
    """Returns the changes of one request as JSON values, each still to be read; errors as of `parse_list`."""
    return parse_list("CHANGES", raw, MAX_CHANGES_BYTES, MAX_CHANGES, CHANGES_ALLOWED)


def check_new_item(change: RequestedChange) -> None:
    """Checks the change of an item that the catalogue has not.

    Raises:
        InvalidRequestError: Where it does not describe one.
    """
    if change.delete or TITLE not in change.fields:
        allowed = "an item of the catalogue; one that is new to it, with fields.title"
        raise InvalidRequestError(_ITEM_ID, change.item_id, allowed)
    allowed = f"printable text of at most {MAX_NEW_ID_BYTES} bytes, as an export takes it"
    if _CONTROL.search(change.item_id):
        raise InvalidRequestError(_ITEM_ID, change.item_id, allowed)
    check_size(_ITEM_ID, change.item_id, MAX_NEW_ID_BYTES, allowed)


def _title(path: str, held: Any) -> str:
    allowed = f"a text of 1 to {MAX_VALUE_BYTES:,} bytes"
    if not isinstance(held, str) or not clean_identity(_CONTROL.sub(" ", held)):
        raise InvalidRequestError(path, Description("nothing") if held is None else held, allowed)
    return clean_identity(_CONTROL.sub(" ", check_size(path, held, MAX_VALUE_BYTES, allowed)))


def _check_readable(path: str, held: Any) -> None:
    """Checks what is searched by its words: a text, a number or a list of these.

    Raises:
        InvalidRequestError: Where it is something else.
    """
    allowed = "a text, a number, or a list of these"
    for value in held if isinstance(held, list) else [held]:
        if not isinstance(value, str) and not _is_number(value):
            raise InvalidRequestError(path, held, allowed)
        if isinstance(value, str):
            check_size(path, value, MAX_VALUE_BYTES, f"at most {MAX_VALUE_BYTES:,} bytes")


def _text(name: str, held: object, limit: int) -> str:
    allowed = f"a string of 1 to {limit:,} bytes"
    if not isinstance(held, str) or not held.strip():
        raise InvalidRequestError(name, Description("nothing") if held is None else held, allowed)
    return check_size(name, held, limit, allowed)


def _moment(path: str, held: Any) -> int:
    return int(read_moment(path, held, "epoch seconds or an ISO 8601 string"))


def _number(path: str, held: Any) -> float | int:
    least = 0.0 if path.endswith(f".{_PRICE}") else -math.inf
    if not _is_number(held) or held < least:
        raise InvalidRequestError(path, held, "a finite number" + (" not below 0" if least == 0 else ""))
    number: float | int = held
    return number


def _is_number(held: Any) -> bool:
    # Integers of any length are JSON; a column holds numbers of 64 bits.
    return isinstance(held, int | float) and not isinstance(held, bool) and abs(held) < 2**63


def _flag(path: str, held: Any) -> bool:
    if not isinstance(held, bool):
        raise InvalidRequestError(path, held, "true or false")
    return held


def _word(path: str, held: Any) -> str:
    if not isinstance(held, str) or not held.strip() or len(held) > LONGEST_WORD:
        raise InvalidRequestError(path, held, f"a string of 1 to {LONGEST_WORD} characters")
    allowed = f"at most {MAX_VALUE_BYTES:,} bytes"
    return clean_identity(check_size(path, held, MAX_VALUE_BYTES, allowed))


def _words(path: str, held: Any) -> list[str]:
    words = held if isinstance(held, list) else [held]
    if len(words) > MOST_WORDS:
        raise InvalidRequestError(path, Description(f"{len(words):,} values"), f"at most {MOST_WORDS} strings")
    return [_word(f"{path}[{i}]" if isinstance(held, list) else path, word) for i, word in enumerate(words)]


def _category(path: str, held: Any) -> str:
    levels = [level.strip() for level in _word(path, held).split(_SEPARATOR.strip())]
    if not all(levels):
        raise InvalidRequestError(path, held, f"levels between {_SEPARATOR.strip()!r}, none of them empty")
    return _SEPARATOR.join(levels)


_READERS = {"number": _number, "bool": _flag, "keyword": _word, "keywords": _words, "category": _category}
