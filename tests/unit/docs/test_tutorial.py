"""The tutorial's Shopify export goes through the tutorial's commands as they stand there."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fuserank_export.cli import app
from fuserank_export.layouts.config import read_mappings
from fuserank_export.sources import read_catalog
from support.pages import REPOSITORY, Page

TUTORIAL = Page(REPOSITORY / "docs" / "tutorial.md")
HEADING = "A Shopify export in four commands"


@pytest.fixture
def section():
    """The part of the page below its heading: blocks of CSV and of commands."""
    text = TUTORIAL.text.partition(f"## {HEADING}\n")[2].partition("\n## ")[0]
    blocks = [block.partition("\n") for block in text.split("```")[1::2]]
    return [(language.strip(), content) for language, _, content in blocks]


def test_the_shopify_export_of_the_tutorial_is_read_as_the_tutorial_says(section, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "products_export.csv").write_text(dict(section)["csv"], "utf-8")
    commands = [shlex.split(line, comments=True) for line in dict(section)[""].splitlines()]
    assert len(commands) == 4
    assert [words[:2] for words in commands] == [["fuserank", name] for name in ("export", "export", "serve", "search")]
    init, bundle, serve, _ = commands
    done = CliRunner().invoke(app, init[2:])
    assert done.exit_code == 0, done.output
    command = typer.main.get_command(app).get_command(None, bundle[2])
    given = command.make_context(bundle[2], bundle[3:]).params
    assert given["out"] == Path(serve[2])
    items = read_catalog(given["catalog"], mapping=read_mappings(given["config"]).catalog).items.set_index("item_id")
    assert sorted(items.index) == [
        "decaf-espresso",
        "earl-grey",
        "filter-ethiopia",
        "house-espresso",
        "moka-pot",
        "sencha",
    ]
    assert items.loc["house-espresso", "Size"] == ["250 g", "1 kg"]
    assert items.loc["house-espresso", "price"] == 6.9
    assert items.loc["earl-grey", "Pack"] == ["20 bags", "50 bags"]
    assert not items.loc["earl-grey", "in_stock"]
