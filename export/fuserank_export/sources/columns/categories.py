"""Reads categories: paths of levels, in the separators that shops use, one or several in a cell."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_export.sources.columns.cells import MAX_DEPTH, CellError, is_missing, parse_text

Path = tuple[str, ...]
Cell = str | tuple[Path, ...]  # text whose separators are not known yet, or paths

_ARROW = re.compile(r"\s*(?:[-=]*>+|›|»|→)\s*")
_LISTS = ("|", ";", ",")  # what may separate several categories, the plainest first
_LEVELS = ("|", "/", "\\", "::", ".")  # what may separate levels where there is no >
_DOTTED = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_NAMES = ("name", "title", "label", "value")
_CHILDREN = ("children", "subcategories", "child", "categories", "sub")
_LEVEL_KEY = re.compile(r"(?:l|lvl|level|cat|category)_?\d+", re.IGNORECASE)
CYCLE = CellError("category cycle", "allowed: each level once in a path")


@dataclass
class Categories:
    """The categories of a catalogue.

    Attributes:
        paths: The paths of each distinct cell, with ` > ` between levels; the first is the item's own.
        notes: What was taken for what.
    """

    paths: dict[Cell, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def parse_category(value: Any) -> Cell | None:
    """Returns a category as text, or as paths where it is a list or a tree; None for an empty cell.

    A list of texts is one path, unless one of its texts is a path itself. Lists and trees are values of JSONL and
    Parquet, or JSON in a cell of text.

    Raises:
        CellError: Where a level comes back further down its path ("Food > Soup > Food").
    """
    if is_missing(value):
        return None
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        value = _load(value)
    if isinstance(value, list | tuple | dict):
        paths = [path for path in map(_clean_path, _tree_paths(value)) if path]
        if any(len(set(path)) < len(path) for path in paths):
            raise CYCLE
        return tuple(dict.fromkeys(paths)) or None
    text = parse_text(value)
    if text is not None and not any(mark in text for mark in _LISTS):
        path = _clean_path(_ARROW.split(text))
        if len(set(path)) < len(path):
            raise CYCLE
        return CATEGORY_SEPARATOR.join(path) or None
    return text


def read_categories(cells: Iterable[Cell], levels: str | None = None, several: str | None = None) -> Categories:
    """Finds what separates levels and categories, and returns the paths of each distinct cell.

    Args:
        cells: The distinct cells.
        levels: What separates levels; None finds it: `>` always does, others where first levels repeat.
        several: What separates categories, `none` nothing; None finds it: a mark does where what stands behind it is a
            category of its own elsewhere.
    """
    cells = list(cells)
    texts = [cell for cell in cells if isinstance(cell, str)]
    found = Categories()
    separator = _find_list_separator(texts) if several is None else several
    parts_of = {text: _split(text, separator) for text in texts}
    parts = list(dict.fromkeys(part for split in parts_of.values() for part in split))
    level_marks = [mark for mark in _LEVELS if _separates_levels(parts, mark)] if levels is None else [levels]
    for text, split in parts_of.items():
        paths = [_split_levels(part, level_marks, certain=levels is not None) for part in split]
        found.paths[text] = list(dict.fromkeys(CATEGORY_SEPARATOR.join(path) for path in paths if path))
    for cell in cells:
        if not isinstance(cell, str):
            found.paths[cell] = [CATEGORY_SEPARATOR.join(path) for path in cell]
    found.notes = _notes(found.paths, texts, separator, level_marks, levels is None, several is None)
    return found


def _notes(
    paths: dict[Cell, list[str]], texts: Sequence[str], separator: str | None, marks: Sequence[str], *open_options: bool
) -> list[str]:
    """Returns what was taken for what, with an example each; `open_options`: levels and lists were found, not named."""
    notes = []
    levels_open, list_open = open_options
    with_list = [text for text in texts if separator and len(paths[text]) > 1]
    if with_list:
        other = "; --category-list none keeps them together" if list_open else ""
        notes.append(f"category: {separator!r} separates categories: {_example(paths, with_list[0])}{other}")
    for mark in marks if levels_open else ():
        split = [text for text in texts if mark in text and any(CATEGORY_SEPARATOR in path for path in paths[text])]
        split = [text for text in split if not any(mark in path for path in paths[text])]
        if split:
            notes.append(
                f"category: {mark!r} separates levels: {_example(paths, split[0])}; --category-levels '>' keeps it"
            )
    structured = [cell for cell in paths if not isinstance(cell, str) and (len(cell) > 1 or len(cell[0]) > 1)]
    if structured:
        notes.append(f"category: lists are read as levels or categories: {_example(paths, structured[0])}")
    kept = Counter(
        mark
        for text in texts
        for mark in (*_LISTS, *_LEVELS[1:])
        if mark != separator and any(mark in path for path in paths[text]) and (mark != "." or _DOTTED.fullmatch(text))
    )
    for mark, count in kept.items():
        example = next(text for text in texts if mark in text and any(mark in path for path in paths[text]))
        options = [f"--category-list {mark!r} splits categories"] if mark in _LISTS and list_open else []
        options += [f"--category-levels {mark!r} splits levels"] if mark in _LEVELS and levels_open else []
        if options:
            notes.append(
                f"category: {mark!r} was kept inside names in {count:,} distinct cells, such as {example!r}; "
                + ", ".join(options)
            )
    return notes


def _example(paths: dict[Cell, list[str]], cell: Cell) -> str:
    written = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return f"{written!r} is {' and '.join(map(repr, paths[cell]))}"


def _split(text: str, separator: str | None) -> list[str]:
    if not separator or separator == "none" or separator not in text:
        return [text]
    # WooCommerce writes a comma inside a name as \,
    escaped = text.replace("\\" + separator, "\0")
    return [part.replace("\0", separator).strip() for part in escaped.split(separator) if part.strip()]


def _split_levels(text: str, marks: Sequence[str], *, certain: bool) -> Path:
    path = _clean_path(_ARROW.split(text))
    if len(path) == 1:
        for mark in marks:
            if mark in text and (certain or mark != "." or _DOTTED.fullmatch(text)):
                path = _clean_path(text.split(mark))
                break
    # What comes back below itself was no path.
    return path if len(set(path)) == len(path) else (" ".join(text.split()),)


def _find_list_separator(texts: Sequence[str]) -> str | None:
    whole = {_clean_path(_ARROW.split(text)) for text in texts}
    for mark in _LISTS:
        split = [[_clean_path(_ARROW.split(part)) for part in _split(text, mark)] for text in texts]
        marked = [parts for parts in split if len(parts) > 1]
        roots = {parts[0][0] for parts in split if parts and parts[0]}
        # Names hold commas, but neither | nor ;
        if any(len(part) > 1 and (part[0] in roots or mark != ",") for parts in marked for part in parts[1:]):
            return mark
        plain = [[part[0] for part in parts] for parts in marked if all(len(part) == 1 for part in parts)]
        # Levels keep their depth; categories of one item stand in any order.
        if {parts[0] for parts in plain} & {name for parts in plain for name in parts[1:]}:
            return mark
        # A level hardly ever is a category of its own at the top, too.
        behind = {part for parts in marked for part in parts[1:]}
        if behind and behind <= whole if mark == "|" else _stands_alone(marked, whole):
            return mark
    return None


def _stands_alone(marked: Sequence[list[Path]], whole: set[Path]) -> bool:
    """Whether what stands behind a mark is a category: a cell of its own, or behind different names in other cells."""
    before: dict[Path, set[str]] = {}
    for parts in marked:
        for part in parts[1:]:
            before.setdefault(part, set()).add(parts[0][-1] if parts[0] else "")
    return any(part in whole or len(names) > 1 for part, names in before.items())


def _separates_levels(parts: Sequence[str], mark: str) -> bool:
    """Whether a mark separates levels in cells without `>`: first levels repeat, or there are three of them."""
    marked = [part for part in parts if mark in part and not _ARROW.search(part)]
    if mark == ".":
        marked = [part for part in marked if _DOTTED.fullmatch(part)]
    paths = {path for path in (_clean_path(part.split(mark)) for part in marked) if len(path) > 1}
    if mark in ("|", "\\", "::"):
        return bool(paths)
    firsts = Counter(path[0] for path in paths)
    whole = set(parts)
    deep = any(len(path) > 2 for path in paths)
    return deep or any(count > 1 or first in whole for first, count in firsts.items())


def _clean_path(levels: Iterable[Any]) -> Path:
    """Returns the levels that are not empty; a level repeated at once ("Soup > Soup") counts once."""
    path: list[str] = []
    for level in levels:
        if (name := " ".join(str(level).split())) and name not in path[-1:]:
            path.append(name)
    return tuple(path)


def _load(text: str) -> Any:
    """Returns the list or tree that a text holds as JSON, or as Python writes it; the text itself if none."""
    for load in (json.loads, ast.literal_eval):
        try:
            value = load(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list | dict):
            return value
    return text


def _tree_paths(value: Any, above: Path = (), depth: int = 0) -> list[Path]:
    """Returns the paths from the root of lists and trees to their leaves."""
    if len(above) + depth > MAX_DEPTH:
        raise CellError("nested too deeply", f"allowed: {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return _object_paths(value, above, depth)
    if isinstance(value, list | tuple):
        present = [entry for entry in value if not is_missing(entry)]
        texts = [parse_text(entry) or "" for entry in present if not isinstance(entry, list | tuple | dict)]
        if len(texts) == len(present) and not any(len(_ARROW.split(text)) > 1 for text in texts):
            return [(*above, *texts)] if texts else []
        return [path for entry in present for path in _tree_paths(entry, above, depth + 1)]
    return [(*above, *_ARROW.split(parse_text(value) or ""))]


def _object_paths(value: dict[str, Any], above: Path, depth: int) -> list[Path]:
    keys = {str(key).casefold(): key for key in value}
    name = next((value[keys[key]] for key in _NAMES if key in keys), None)
    if name is not None:
        parent = value.get(keys.get("parent", ""))
        path = (
            *above,
            *(_tree_paths(parent, depth=depth + 1)[0] if parent else ()),
            *_ARROW.split(parse_text(name) or ""),
        )
        children = next((value[keys[key]] for key in _CHILDREN if value.get(keys.get(key, ""))), None)
        if not children:
            return [path]
        below = children if isinstance(children, list) else [children]
        return [deeper for child in below for deeper in _tree_paths(child, path, depth + 1)]
    if value and all(_LEVEL_KEY.fullmatch(key) for key in keys):
        ordered = [parse_text(value[keys[key]]) or "" for key in sorted(keys)]
        # Algolia writes the whole path at every level.
        deepest = [text for text in ordered if text][-1:]
        return [(*above, *_ARROW.split(deepest[0]))] if deepest and _ARROW.search(deepest[0]) else [(*above, *ordered)]
    return [path for key, below in value.items() for path in _branch_paths(str(key), below, above, depth)]


def _branch_paths(name: str, below: Any, above: Path, depth: int) -> list[Path]:
    """Returns the paths of a key whose value is the levels below it: an object, a list of siblings, or nothing."""
    path = (*above, name)
    if not below or isinstance(below, bool | int | float):
        return [path]
    siblings = below if isinstance(below, list) else [below]
    return [deeper for sibling in siblings for deeper in _tree_paths(sibling, path, depth + 1)]
