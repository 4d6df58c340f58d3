"""A shop's files go through `export init` and are read with the TOML file that it writes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from fuserank_ensemble.interactions.events import EVENTS
from fuserank_export.cli import app
from fuserank_export.layouts.config import read_mappings
from fuserank_export.sources import Catalog, Interactions, read_catalog, read_interactions


@dataclass
class ReadShop:
    """A shop as it is read with its TOML file."""

    toml: str
    printed: str
    catalog: Catalog
    log: Interactions | None

    @property
    def config(self) -> dict[str, Any]:
        return tomllib.loads(self.toml)

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        """Each item's fields without the missing ones, by its id."""
        rows = self.catalog.items.astype(object).to_dict("records")
        return {row.pop("item_id"): {name: v for name, v in row.items() if not _missing(v)} for row in rows}

    @property
    def events(self) -> list[tuple[str, str, str]]:
        """User, item and event, in order of time."""
        log = self.log
        return [
            (log.user_ids[user], self.catalog.item_ids[item], EVENTS[event])
            for user, item, event in zip(log.user, log.item, log.event, strict=True)
        ]


def _missing(value: Any) -> bool:
    return not isinstance(value, list) and bool(pd.isna(value))


@pytest.fixture
def run_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `export init` in the folder of the files."""

    def run(*arguments: str, **more: Any) -> Result:
        monkeypatch.chdir(tmp_path)
        return CliRunner().invoke(app, ["init", *arguments], **more)

    return run


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[[str, list[Any]], str]:
    """Writes JSON lines; returns the file's name."""

    def write(name: str, rows: list[Any]) -> str:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    return write


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a text without the indentation of its lines; returns the file's name."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n", "utf-8")
        return name

    return write


@pytest.fixture
def read_shop(run_init: Callable[..., Result], tmp_path: Path) -> Callable[..., ReadShop]:
    """Runs `export init` over files and reads them as the TOML file says."""

    def read(catalog: str, events: str | None = None, **settings: Any) -> ReadShop:
        done = run_init(catalog, *(["--events", events] if events else []), "--force")
        assert done.exit_code == 0, done.output
        mappings = read_mappings(tmp_path / "shop.toml")
        items = read_catalog(tmp_path / catalog, mapping=mappings.catalog, **settings)
        log = None
        if events:
            log = read_interactions(tmp_path / events, items.item_ids, mapping=mappings.interactions)
        return ReadShop((tmp_path / "shop.toml").read_text("utf-8"), done.output, items, log)

    return read
