"""Options that several commands share: how a shop's files are read, which of their words are searched, how is trained.

A command takes a group as one parameter; `expand_groups` gives the command line an option for each of its fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from fuserank_ensemble.bundle import Bundle
from fuserank_export.builder.options import LEAST_CASES, FileReading, Quality, RankerOptions
from fuserank_export.index.word_fields import parse_lexical_fields
from fuserank_export.layouts.config import read_mappings
from fuserank_export.sources.reading import parse_reading

NOTHING = ["none"]  # what an option that may be repeated is given to name nothing

Encoding = Annotated[
    str | None, typer.Option(help="What text files are written in that are not UTF-8; guessed by default.")
]
Delimiter = Annotated[
    list[str] | None,
    typer.Option(
        help="What stands between cells, such as ; or :: or tab; found by default. interactions=:: for one file."
    ),
]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is at --out.")]
BundleOut = Annotated[Path, typer.Option(help="The bundle to write; must not exist, unless --force.")]
Queries = Annotated[
    Path | None, typer.Option(help="Queries that people judged: query_id<TAB>query. The ranker learns from them.")
]
Judgements = Annotated[Path | None, typer.Option(help="Their judgements: query_id, item_id and grade.")]
SkipLines = Annotated[
    list[str] | None,
    typer.Option(help="How many lines stand before the header; found by default. catalog=3 for one file."),
]


@dataclass(frozen=True)
class ReadingOptions:
    """Options of how a shop's files are read."""

    types: Annotated[
        list[str] | None,
        typer.Option(
            help="Types of the catalogue's own columns, such as part_no=text,weight=number; the export prints "
            "them. text, number, integer, flag, time or list."
        ),
    ] = None
    decimal: Annotated[
        list[str] | None,
        typer.Option(help="comma or point: read numbers with thousands and currencies; weight=comma for one column."),
    ] = None
    dates: Annotated[
        list[str] | None,
        typer.Option(help="day-first or month-first: read 3/4/2021; found by default where a whole column says."),
    ] = None
    null_marker: Annotated[
        list[str] | None,
        typer.Option(help="A text that means a missing value, beside NULL, nan, N/A, - and the like."),
    ] = None
    keep_null_markers: Annotated[
        list[str] | None, typer.Option(help="A column in which these texts are values; all for every column.")
    ] = None
    keep_html: Annotated[
        bool, typer.Option("--keep-html", help="Keep the raw HTML of a column beside its text, as <column>_html.")
    ] = False
    category_levels: Annotated[
        str | None, typer.Option(help="What separates a category's levels: > / | . and so on. Found by default.")
    ] = None
    category_list: Annotated[
        str | None, typer.Option(help="What separates several categories of a cell: | ; , or none. Found by default.")
    ] = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    skip_lines: SkipLines = None
    max_bad_rows: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of bad input rows that is an error; by default 0.05.")
    ] = None
    max_unknown_items: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the log's rows of unknown items that is an error; by default 0.5."),
    ] = None
    disliked_below: Annotated[
        float | None,
        typer.Option(help="Ratings below it are dislikes; by default 3 of 5, 5 of 10, 50 of 100, 0.5 of 1."),
    ] = None
    most_a_day: Annotated[
        int | None,
        typer.Option(
            min=0, help="Events of one kind with one item that count of one user a day, 10 by default; 0: all."
        ),
    ] = None

    def to_arguments(self, config: Path | None, default: FileReading | None = None) -> dict[str, Any]:
        """Returns the fields of a `FileReading`; those of which nothing was said are as in `default`.

        Args:
            config: The TOML file that says what the columns of the files become; None says nothing.
            default: What holds where nothing is said; by default as the library has it.

        Raises:
            ExportError: Where an option cannot be read.
        """
        default = default or FileReading()
        reading = parse_reading(
            default.reading,
            types=self.types,
            decimals=self.decimal,
            dates=self.dates,
            null_markers=self.null_marker,
            kept_markers=self.keep_null_markers,
            keep_html=self.keep_html or None,
            category_levels=self.category_levels,
            category_list=self.category_list,
            encoding=self.encoding,
            delimiters=self.delimiter,
            skip_lines=self.skip_lines,
        )
        arguments = {of.name: getattr(default, of.name) for of in fields(FileReading)} | {"reading": reading}
        for name in ("max_bad_rows", "max_unknown_items", "disliked_below", "most_a_day"):
            if getattr(self, name) is not None:
                arguments[name] = getattr(self, name)
        if config is not None:
            arguments["mappings"] = read_mappings(config)
        return arguments


@dataclass(frozen=True)
class WordOptions:
    """Options of the words that are searched."""

    synonyms: Annotated[
        Path | None, typer.Option(help="Words that mean the same, in Solr's format: coke, pepsi => soft drinks.")
    ] = None
    lexical_fields: Annotated[
        str | None,
        typer.Option(
            help="Columns whose words are searched, with what a match counts, such as title=3,brand=1.5,material=1; "
            "title, brand, category and description by default."
        ),
    ] = None
    codes: Annotated[
        list[str] | None,
        typer.Option(
            "--code",
            help="A column of codes that find their item exactly and by their beginning, such as part_no; once for "
            "each. By default those called sku, barcode, gtin, mpn and the like; none takes the item's id alone.",
        ),
    ] = None

    def to_arguments(self) -> dict[str, Any]:
        """Returns the fields of files whose words are indexed.

        Raises:
            InputError: Where an option cannot be read.
        """
        return {
            "synonyms": self.synonyms,
            "lexical_fields": None if self.lexical_fields is None else parse_lexical_fields(self.lexical_fields),
            "codes": named_columns(self.codes),
        }


@dataclass(frozen=True)
class TrainingOptions:
    """Options of how the ranker is trained."""

    quality: Annotated[
        Quality, typer.Option(help="quick learns from fewer cases, for a first look; full is for a shop.")
    ] = RankerOptions.quality
    cases: Annotated[
        int | None,
        typer.Option(
            min=LEAST_CASES,
            help="(user, query) pairs of each time window that the ranker learns from; --quality decides.",
        ),
    ] = None
    epochs: Annotated[
        int | None, typer.Option(min=1, help="The ranker's passes over them at most; --quality decides.")
    ] = None
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Fit the ranker in bfloat16; weights stay FP32.")
    ] = False
    time_budget: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Minutes from the start, after which the ranker is trained no longer: the best so far is taken.",
        ),
    ] = None

    def to_options(self, text_tower: str | None) -> RankerOptions:
        """Returns the options of a ranker with a text tower, or without one.

        Raises:
            OptionError: Where one of them has a wrong value.
        """
        return RankerOptions(
            text_tower=text_tower,
            quality=self.quality,
            cases=self.cases,
            epochs=self.epochs,
            mixed_precision=self.mixed_precision,
            time_budget=self.time_budget,
        )


def remembered_reading(bundle: Path) -> FileReading:
    """Returns how the files of a bundle were read when it was exported.

    Raises:
        BundleError: Where it is no bundle.
    """
    manifest = Bundle.open(bundle, verify=()).manifest
    return FileReading.from_manifest(manifest["inputs"]["reading"])


def named_columns(columns: list[str] | None) -> tuple[str, ...] | None:
    """Returns the columns that an option names; none for `none`, and None where nothing was said."""
    if columns == NOTHING:
        return ()
    return tuple(columns) if columns else None


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command whose signature has the fields of each dataclass parameter in place of it.

    Typer reads the options of a command from its signature.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        field_hints = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(
                of.name, inspect.Parameter.KEYWORD_ONLY, default=of.default, annotation=field_hints[of.name]
            )
            for of in fields(groups[name])
        ]

    @wraps(command)
    def expanded(**values: Any) -> None:
        group_values = {
            name: group(**{of.name: values.pop(of.name) for of in fields(group)}) for name, group in groups.items()
        }
        command(**values, **group_values)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect reads it
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded
