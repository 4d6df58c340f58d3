"""Finds the files of an input: one file, a folder of part files, or those that a pattern matches."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from fuserank_export.sources.report import InputError, closest

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "tsv",
    ".dat": "tsv",
    ".data": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".xml": "xml",
    ".rss": "xml",
    ".atom": "xml",
    ".sql": "sql",
}
# Files of these are often something else beside a folder's data, such as its description.
SECONDARY = frozenset({".json", ".xml", ".rss", ".atom", ".dat", ".data"})
COMPRESSIONS = (".gz", ".zst", ".zstd")
TYPED = frozenset({"parquet", "jsonl", "sql"})  # formats that tell a number from a text
_KNOWN = f"{', '.join(FORMATS)}, each also with .gz or .zst"
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # how Hive and Spark write a missing value in a folder's name
_DIGITS = re.compile(r"(\d+)")
_REMEDIES = {
    ".xlsx": "Save the sheet as CSV UTF-8.",
    ".xls": "Save the sheet as CSV UTF-8.",
    ".zip": "Unpack it.",
}


@dataclass(frozen=True)
class Part:
    """One file of an input.

    Attributes:
        path: The file.
        kind: Its format: parquet, csv, tsv, jsonl, xml or sql.
        constants: Values that the names of its folders say of all its rows, as in `country=de/part-0.parquet`.
    """

    path: Path
    kind: str
    constants: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """The files of an input.

    Attributes:
        files: One or more, in the order of reading: by name, numbers in it by value.
        left_out: Names of files in the folder that are of no known format.
        single: Whether the input is one file that was named as such.
    """

    files: list[Part]
    left_out: list[str]
    single: bool

    @property
    def typed(self) -> bool:
        """Whether all files say which values are numbers."""
        return all(part.kind in TYPED for part in self.files)


def find_parts(path: Path) -> Parts:
    """Returns the files of an input.

    Args:
        path: A file; a folder, read with the folders inside it, without what begins with `_` or `.`; or a pattern
            such as `events/2026-*.csv`, with `**` for any folders.

    Raises:
        InputError: There is no such file, or none of a known format.
    """
    if path.is_dir():
        return _find_in_folder(path)
    if path.is_file():
        return Parts([Part(path, detect_format(path))], [], single=True)
    if glob.has_magic(str(path)):
        return _match_pattern(path)
    detect_format(path)
    raise _missing(path)


def detect_format(path: Path) -> str:
    """Returns a file's format by its extension: parquet, csv, tsv, jsonl, xml or sql.

    Raises:
        InputError: The extension is unknown.
    """
    suffix = _suffix(path)
    if suffix in FORMATS:
        return FORMATS[suffix]
    near = closest(suffix, FORMATS) if suffix else None
    hint = _REMEDIES.get(suffix) or (f"Did you mean {near}?" if near else "")
    raise InputError(f"{path}: found the extension {suffix or 'none'!r}; allowed: {_KNOWN}. {hint}".rstrip())


def _suffix(path: Path) -> str:
    """Returns a file's extension in lower case, without that of its compression."""
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).suffix


def _find_in_folder(folder: Path) -> Parts:
    files: list[Part] = []
    left_out: list[str] = []
    for path in _in_order(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(name.startswith(("_", ".")) for name in inside.parts) or not path.is_file():
            continue
        if _suffix(path) in FORMATS:
            files.append(Part(path, detect_format(path), _folder_values(inside.parts[:-1])))
        else:
            left_out.append(str(inside))
    if any(_suffix(part.path) not in SECONDARY for part in files):
        left_out += [str(part.path.relative_to(folder)) for part in files if _suffix(part.path) in SECONDARY]
        files = [part for part in files if _suffix(part.path) not in SECONDARY]
    if not files:
        entries = f"; it holds {', '.join(left_out[:5])}" if left_out else ""
        raise InputError(f"{folder}: found a folder without a file to read{entries}; allowed: {_KNOWN}")
    return Parts(files, left_out, single=False)


def _match_pattern(pattern: Path) -> Parts:
    parts: list[Part] = []
    left_out: list[str] = []
    for path in _in_order(map(Path, glob.glob(str(pattern), recursive=True))):
        if path.is_dir():
            # `**` matches folders and their files: each file is one part.
            continue
        parts.append(Part(path, detect_format(path), _folder_values(path.parts[:-1])))
    if not parts:
        raise InputError(f"{pattern}: found no file that this pattern matches; allowed: {_KNOWN}. Check the path.")
    return Parts(parts, left_out, single=False)


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """Returns paths sorted by name, numbers in them by value: part-2 comes before part-10."""

    def key(path: Path) -> list[tuple[int, str]]:
        return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in _DIGITS.split(str(path))]

    return sorted(paths, key=key)


def _folder_values(folders: Iterable[str]) -> dict[str, str | None]:
    """Returns the columns that the names of folders give, as Hive writes them: `country=de` is one."""
    pairs = (name.split("=", 1) for name in folders if "=" in name)
    return {name: None if value == _NO_VALUE else unquote(value) for name, value in pairs if name}


def _missing(path: Path) -> InputError:
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = closest(path.name, beside)
    hint = f" Did you mean {path.parent / near}?" if near else " Check the path."
    return InputError(f"{path}: found no such file; allowed: an existing file, folder or pattern ({_KNOWN}).{hint}")
