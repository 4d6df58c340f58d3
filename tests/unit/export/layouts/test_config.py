"""A TOML file says all that a command line says, and is checked as strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fuserank_export.cli import app
from fuserank_export.errors import ExportError
from fuserank_export.layouts.config import read_mappings, read_options
from fuserank_export.layouts.mapping import FileMapping, LogMapping
from fuserank_export.sources import InputError, read_catalog, read_interactions
from fuserank_export.sources.users import read_users

BUNDLE = typer.main.get_command(app).get_command(None, "bundle")
RETRAIN = typer.main.get_command(app).get_command(None, "train").get_command(None, "ranker")


@pytest.fixture
def write_config(tmp_path):
    def write(text):
        path = tmp_path / "shop.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_file_gives_the_options_and_the_command_line_wins(write_config, tmp_path):
    path = write_config(
        """
        encoder = "some/encoder"
        out = "build/x"
        quality = "quick"
        force = true
        cases = 70
        feature = ["rating", "season"]
        [inputs]
        catalog = "items.csv"
        max-bad-rows = 0.2
        """
    )
    context = BUNDLE.make_context("bundle", ["--config", str(path), "--cases", "90", "--out", "elsewhere"])
    given = context.params
    assert given["catalog"] == tmp_path / "items.csv"
    assert given["out"] == Path("elsewhere")
    assert (given["encoder"], given["quality"], given["force"], given["cases"]) == ("some/encoder", "quick", True, 90)
    assert (given["max_bad_rows"], given["features"]) == (0.2, ["rating", "season"])


@pytest.mark.parametrize("value", ['["rating=a"]', '"rating=a"', '{rating = "a"}'])
def test_an_option_that_may_be_repeated_is_a_list_a_text_or_a_table(write_config, value):
    path = write_config(f"feature = {value}")
    assert read_options(path, BUNDLE, all_options=True) == {"features": ["rating=a"]}


def test_an_encoder_folder_beside_the_file_is_found_from_anywhere(write_config, tmp_path):
    (tmp_path / "model").mkdir()
    path = write_config('encoder = "model"\nout = "x"\n[inputs]\ncatalog = "items.csv"\n')
    assert read_options(path, BUNDLE, all_options=True)["encoder"] == str(tmp_path / "model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('encodr = "x"', r"encodr: no such key; allowed: .*did you mean 'encoder'"),
        ('max_bad_rows = 0.5', r"max_bad_rows: no such key; .*did you mean 'max-bad-rows'"),
        ('[inputs]\ncatalogue = "x"', r"\[inputs\] catalogue: no such key; .*did you mean 'catalog'"),
        ('[inptus]\ncatalog = "x"', r"inptus: no such key; .*did you mean 'inputs'"),
        ('quality = "quick"\n[inputs]\nquality = "full"', r"quality: found twice"),
        ("force = 1", r"force: found 1; allowed: true, false"),
        ("feature = [true]", r"feature: found \[True\]; allowed: a list of texts or numbers"),
        ("cases = [1]", r"cases: found \[1\]; allowed: one text or number"),
        ("config = 'x'", r"config: no such key"),
        ("out = ", r"cannot be read as TOML"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_an_error_that_names_the_nearest(write_config, text, message):
    path = write_config(text)
    with pytest.raises(ExportError, match=message):
        read_options(path, BUNDLE, all_options=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[catalog]\ncolums = {}", r"\[catalog\] colums: no such key; .*did you mean 'columns'"),
        ("[catalog]\nevents = {}", r"\[catalog\] events: no such key"),
        ('catalog = "items.csv"', r"catalog: found 'items.csv'; allowed: a table. .*\[inputs\]"),
        ('[catalog]\nlayout = "shopfy"', r"\[catalog\] layout: found 'shopfy'; .*did you mean 'shopify'"),
        ("[catalog.columns]\ntitle = 3", r"\[catalog\]: Expected `str \| array`, got `int`.*columns"),
        ('[interactions]\nother-events = "drop"', r"\[interactions\]: Invalid enum value 'drop'"),
    ],
)
def test_a_wrong_mapping_is_an_error_that_names_the_place(write_config, text, message):
    with pytest.raises(ExportError, match=message):
        read_mappings(write_config(text))


def test_a_number_that_is_none_and_a_missing_file_end_with_status_2(write_config, tmp_path):
    runner = CliRunner()
    path = write_config('encoder = "x"\nout = "y"\ncases = 60.5\n[inputs]\ncatalog = "items.csv"\n')
    done = runner.invoke(app, ["bundle", "--config", str(path)])
    assert done.exit_code == 2
    assert "--cases" in done.output
    assert "valid integer" in done.output
    done = runner.invoke(app, ["bundle", "--config", str(tmp_path / "none.toml")])
    assert done.exit_code == 2
    assert "found no such file; `fuserank export init CATALOG` writes one" in " ".join(done.output.split())


def test_another_command_takes_the_inputs_alone(write_config, tmp_path):
    path = write_config('out = "build/x"\nencoder = "e"\n[inputs]\ncatalog = "i.csv"\ninteractions = "e.csv"\n')
    assert read_options(path, RETRAIN, all_options=False) == {"interactions": str(tmp_path / "e.csv")}


def test_a_column_that_is_not_there_is_named_with_the_nearest(write_csv):
    path = write_csv([{"Handle": "x", "Name": "Lamp", "Vendor": "Lux"}])
    mapping = FileMapping(columns={"item_id": "Handel", "title": "Name"})
    with pytest.raises(InputError, match=r"\[catalog.columns\] item_id = 'Handel': .*did you mean 'Handle'"):
        read_catalog(path, mapping=mapping)
    mapping = FileMapping(columns={"item_id": "Handle", "title": "Name", "brand": "Vendors"})
    catalog = read_catalog(path, mapping=mapping)
    assert "[catalog.columns] brand = 'Vendors': the file has no such column; did you mean 'Vendor'?" in str(
        catalog.report
    )


def test_the_first_name_with_a_value_counts_row_by_row(write_csv):
    path = write_csv([{"id": "1", "name": "", "label": "Lamp"}, {"id": "2", "name": "Chair", "label": "Seat"}])
    mapping = FileMapping(columns={"item_id": "id", "title": ["name", "label"]})
    assert read_catalog(path, mapping=mapping).items["title"].tolist() == ["Lamp", "Chair"]


def test_a_column_of_our_name_gives_way_to_the_one_that_is_named(write_csv):
    path = write_csv([{"id": "1", "title": "Dr.", "name": "Lamp"}])
    items = read_catalog(path, mapping=FileMapping(columns={"item_id": "id", "title": "name"})).items
    assert items["title"].tolist() == ["Lamp"]


def test_other_events_are_bad_rows_unless_they_are_left_out(write_csv):
    rows = [
        {"user_id": "a", "item_id": "1", "event": event, "timestamp": "1700000000"}
        for event in ("View Item", "peek", "refund")
    ]
    path = write_csv(rows)
    events = {"view_item": "view", "refund": "ignore"}
    log = read_interactions(path, ["1"], mapping=LogMapping(events=events), max_bad_share=1)
    assert (log.report.kept, log.report.bad) == (1, 1)
    assert log.report.left_out == {"event refund": 1}
    log = read_interactions(path, ["1"], mapping=LogMapping(events=events, other_events="ignore"))
    assert log.report.left_out == {"event refund": 1, "event peek": 1}


def test_users_are_read_by_their_mapping(write_csv):
    path = write_csv([{"customer": "ann", "tier": "gold"}, {"customer": "ben", "tier": "tin"}])
    segments, report = read_users(path, mapping=FileMapping(columns={"user_id": "customer"}))
    assert report.kept == 2
    assert list(segments.columns) == ["tier"]
