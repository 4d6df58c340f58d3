"""What the tests of exports share."""

from __future__ import annotations

import logging

import pytest
from typer.testing import CliRunner

from fuserank_export.cli import app
from support.exporting import export_quickly
from support.tiny_shop import write_csv


@pytest.fixture
def export_shop(tiny_encoder, tmp_path):
    """Exports a catalogue, without a log unless one is named."""

    def exported(catalog, name="bundle", **settings):
        return export_quickly(catalog, tiny_encoder, tmp_path / name, **settings)

    return exported


@pytest.fixture
def run():
    """Runs the command line; the log level that it sets is put back."""
    level = logging.getLogger().level
    yield lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "1000"})
    logging.getLogger().setLevel(level)


@pytest.fixture
def one_item(tmp_path):
    return write_csv(tmp_path / "one.csv", [{"item_id": "only", "title": "手工 wooden chair"}])
