"""Checks the values of options: their types, their choices and their ranges."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from fuserank_ensemble.contract.errors import format_value, nearest
from fuserank_export.sources.report import InputError


class OptionError(InputError):
    """An option has a value that is not allowed. The message names the field, what was found and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}: found {format_value(value)}; allowed: {allowed}")
        self.field = field


class CheckedOptions:
    """Base of a dataclass of options: compares every value with its annotation when it is made."""

    def __post_init__(self) -> None:
        """Raises OptionError on the first value of another type, of no known choice or out of range."""
        for name, annotation in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            if not _fits(value, annotation):
                raise OptionError(f"{type(self).__name__}.{name}", value, _allowed(annotation, value))


def check_both(queries: Path | None, judgements: Path | None) -> None:
    """Refuses a file of judged queries without its judgements, or the other way round.

    Raises:
        InputError: Where one of them is missing.
    """
    if (queries is None) != (judgements is None):
        raise InputError("--queries and --judgements: found one of them; allowed: both or neither")


def _fits(value: object, annotation: Any) -> bool:
    """Whether a value is what an annotation takes."""
    if get_origin(annotation) in (Union, UnionType):
        return any(_fits(value, alternative) for alternative in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, CheckedOptions):
        return isinstance(value, annotation)  # msgspec would take a dict for it
    try:
        # Types that msgspec does not know, such as paths, pass the hook and are compared by their class.
        msgspec.convert(value, annotation, dec_hook=lambda _, unchanged: unchanged)
    except msgspec.ValidationError:
        return False
    return True


def _allowed(annotation: Any, value: object) -> str:
    """Describes in words what an annotation takes."""
    if annotation is type(None):
        return "None"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return nearest(str(value), map(str, arguments))
    if origin is Annotated:
        limits = arguments[1]
        if limits.le is None:
            return f"{_allowed(arguments[0], value)}, {limits.ge} or more"
        return f"{_allowed(arguments[0], value)}, {limits.ge} to {limits.le}"
    if arguments:
        allowed = [_allowed(argument, value) for argument in arguments if argument is not ...]
        return f"a tuple of {allowed[0]}" if origin is tuple else " or ".join(allowed)
    return str(annotation.__name__)
