"""Options of an export are checked when they are made; an error names the field, what was found and what is allowed."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from fuserank_ensemble.spec import SpecError
from fuserank_export.builder.options import (
    BehaviourFiles,
    EncoderOptions,
    FileReading,
    GraphOptions,
    InputFiles,
    OutputOptions,
    RankerOptions,
    VectorStoreOptions,
)
from fuserank_export.builder.query_counts import QueryPrivacy
from fuserank_export.checks import OptionError
from fuserank_export.cli import app
from fuserank_export.command_options import ReadingOptions
from fuserank_export.layouts.config import Mappings
from fuserank_export.layouts.mapping import FileMapping, LogMapping
from fuserank_export.sources import InputError
from fuserank_export.sources.formats.text_format import TextFormat
from fuserank_export.sources.reading import parse_reading
from fuserank_export.training.cli import app as train
from fuserank_export.training.fitting.settings import FIT, FitSettings
from fuserank_export.training.text.cli import app as text

NEEDED = {
    InputFiles: {"catalog": Path("items.csv")},
    EncoderOptions: {"source": "some/encoder"},
    OutputOptions: {"folder": Path("bundle")},
}
ALL = (
    *(BehaviourFiles, InputFiles, EncoderOptions, RankerOptions, GraphOptions, VectorStoreOptions),
    *(OutputOptions, FitSettings),
)


@pytest.mark.parametrize(
    ("options", "field", "value", "allowed"),
    [
        (InputFiles, "catalog", "items.csv", "Path"),
        (InputFiles, "interactions", "events.csv", "Path or None"),
        (InputFiles, "max_bad_rows", 1.5, "float, 0 to 1"),
        (InputFiles, "max_bad_rows", -0.1, "float, 0 to 1"),
        (InputFiles, "max_bad_rows", float("nan"), "float, 0 to 1"),
        (BehaviourFiles, "max_bad_rows", "5%", "float, 0 to 1"),
        (InputFiles, "features", ("rating", 3), "a tuple of str or None"),
        (EncoderOptions, "source", None, "str"),
        (EncoderOptions, "precision", "int9", "fp32, int8 (did you mean 'int8'?)"),
        (EncoderOptions, "pooling", "max", "auto, cls, mean"),
        (EncoderOptions, "engine", "spark", "plain, ray"),
        (RankerOptions, "cases", 49, "int, 50 or more or None"),
        (RankerOptions, "cases", 60.5, "int, 50 or more or None"),
        (RankerOptions, "epochs", 0, "int, 1 or more or None"),
        (RankerOptions, "fit", {"epochs": 3}, "FitSettings or None"),
        (RankerOptions, "quality", "fast", "full, quick"),
        (GraphOptions, "text_candidates", 0, "int, 1 or more"),
        (GraphOptions, "clock", "moon", "auto, log, wall"),
        (VectorStoreOptions, "milvus", 19530, "str or None"),
        (OutputOptions, "force", "yes", "bool"),
        (OutputOptions, "seed", True, "int"),
        (FitSettings, "epochs", 0, "int, 1 or more"),
        (FitSettings, "learning_rate", -1.0, "float, 0 or more"),
    ],
)
def test_a_wrong_value_is_an_error_with_its_field_and_what_is_allowed(options, field, value, allowed):
    with pytest.raises(OptionError, match=re.escape(f"{options.__name__}.{field}: found ")) as error:
        options(**NEEDED.get(options, {}) | {field: value})
    assert re.search(rf"allowed: {re.escape(allowed)}", str(error.value)), error.value


@pytest.mark.parametrize("options", ALL)
def test_options_are_named_closed_and_frozen(options):
    needed = NEEDED.get(options, {})
    made = options(**needed)
    name, value = next(iter(needed.items()), (fields(options)[0].name, None))
    with pytest.raises(TypeError, match="positional argument"):
        options(value)
    with pytest.raises(TypeError, match="unexpected keyword argument 'presicion'"):
        options(**needed, presicion="fp32")
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, value)


@pytest.mark.parametrize("one", ["queries", "judgements"])
def test_judged_queries_need_both_files(one):
    with pytest.raises(InputError, match="--queries and --judgements: found one of them; allowed: both or neither"):
        BehaviourFiles(**{one: Path("file.tsv")})


def test_a_number_of_candidates_that_is_no_bucket_is_an_error():
    with pytest.raises(SpecError, match=r"candidates.*100.*allowed: one of \(32, 64, 128, 256\)"):
        GraphOptions(candidates=100)


def test_an_int_is_a_float_and_files_beside_a_bundle_carry_its_name():
    assert InputFiles(catalog=Path("c.csv"), max_bad_rows=1).max_bad_rows == 1
    out = OutputOptions(folder=Path("builds/shop"))
    assert out.blocks == Path("builds/.shop.resume/blocks")
    assert out.checkpoints == Path("builds/.shop.resume/checkpoints")
    assert OutputOptions(folder=Path("builds/shop"), vector_cache=Path("kept")).blocks == Path("kept")
    assert out.rejected_rows("catalog") == Path("builds/shop.rejected-catalog.jsonl")


def flags_of(command):
    """The options of a command that have a default, but --config, with their defaults."""
    parameters = inspect.signature(command.callback).parameters.items()
    return {
        name: parameter.default
        for name, parameter in parameters
        if parameter.default is not inspect.Parameter.empty and name != "config"
    }


COMMANDS = {command.callback.__name__: command for command in app.registered_commands}
TRAINING = {command.callback.__name__: command for command in (*train.registered_commands, *text.registered_commands)}
READING = [of.name for of in fields(ReadingOptions)]


def test_the_command_line_has_the_defaults_of_the_library():
    """Every flag of `export bundle` with a default, but --config, is a field of the options, with the same default."""
    flags = flags_of(COMMANDS["bundle"])
    made = [options(**NEEDED.get(options, {})) for options in ALL if options not in (BehaviourFiles, FitSettings)]
    library = {field.name: getattr(options, field.name) for options in made for field in fields(options)}
    # How files are read is one object, made of flags that are empty by default.
    reading = {name: flags.pop(name) for name in READING}
    assert not any(reading.values())
    # A log that the files hold is read before the export begins.
    assert [flags.pop(name) for name in ("state", "state_key_file")] == [None, None]
    assert FileReading(**ReadingOptions().to_arguments(None)) == FileReading()
    assert parse_reading() == library["reading"]
    suggested = {name: flags.pop(f"suggest_{name}") for name in ("min_users", "epsilon")}
    assert QueryPrivacy(**suggested) == library["query_privacy"]
    assert flags == {name: library[name] for name in flags}
    assert len(flags) == 30


@pytest.mark.parametrize("name", ["ranker", "text_tower", "encoder"])
def test_every_training_reads_files_by_the_options_of_the_export(name):
    exported, trained = flags_of(COMMANDS["bundle"]), flags_of(TRAINING[name])
    assert {flag: trained[flag] for flag in READING} == {flag: exported[flag] for flag in READING}


def test_how_files_are_read_comes_back_from_a_manifest_as_it_was():
    mappings = Mappings(
        interactions=LogMapping(columns={"item_id": ["sku", "id"]}, events={"buy": "purchase"}, header=["a", "b"]),
        catalog=FileMapping(layout="shopify", values={"in_stock": {"yes": "true"}}),
    )
    reading = parse_reading(
        types=["part_no=text"],
        decimals=["comma", "weight=point"],
        dates=["day-first"],
        null_markers=["unknown"],
        kept_markers=["brand"],
        keep_html=True,
        category_list="none",
        encoding="windows-1250",
        delimiters=["catalog=tab", "::"],
        skip_lines=["catalog=3"],
    )
    files = InputFiles(catalog=Path("c.csv"), reading=reading, mappings=mappings, max_bad_rows=0.2, disliked_below=2.5)
    remembered = FileReading.from_manifest(json.loads(json.dumps(files.to_manifest())))
    assert remembered == FileReading(**{of.name: getattr(files, of.name) for of in fields(FileReading)})
    assert remembered.reading.text_format("catalog") == TextFormat("windows-1250", "\t", 3)
    assert remembered.reading.text_format("interactions") == TextFormat("windows-1250", "::", None)


def test_what_the_command_line_says_wins_over_what_is_remembered():
    remembered = FileReading(reading=parse_reading(decimals=["comma"], null_markers=["unknown"]), max_bad_rows=0.3)
    given = ReadingOptions(decimal=["point"], max_unknown_items=0.9).to_arguments(None, remembered)
    assert given["reading"] == parse_reading(decimals=["point"], null_markers=["unknown"])
    assert (given["max_bad_rows"], given["max_unknown_items"]) == (0.3, 0.9)


def test_quality_decides_what_is_not_said_and_full_is_the_default():
    full, quick = RankerOptions().effort, RankerOptions(quality="quick").effort
    assert full == RankerOptions(quality="full").effort
    assert quick.cases * 3 == full.cases
    assert quick.fit.least_steps < full.fit.least_steps
    assert quick.tuning_cases < full.tuning_cases
    own = RankerOptions(quality="quick", cases=60, epochs=3).effort
    assert (own.cases, own.fit, own.tuning_cases) == (
        60,
        replace(FIT, least_steps=quick.fit.least_steps, epochs=3),
        quick.tuning_cases,
    )
