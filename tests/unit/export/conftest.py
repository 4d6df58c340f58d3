"""Input files written as a shop would write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Rows = Sequence[dict[str, Any]]


@pytest.fixture
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `--quality quick` fit a ranker in a few steps, which no option of the command line can."""
    from fuserank_export.builder.options import EFFORTS, LEAST_CASES, TrainingEffort
    from fuserank_export.training.fitting.settings import FitSettings

    monkeypatch.setitem(EFFORTS, "quick", TrainingEffort(LEAST_CASES, LEAST_CASES, FitSettings(epochs=2)))


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Rows, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Sequence[Any], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_parquet(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Rows, name: str = "rows.parquet") -> Path:
        path = tmp_path / name
        pd.DataFrame(rows).to_parquet(path, index=False)
        return path

    return write


@pytest.fixture
def write_text(tmp_path: Path) -> Callable[..., Path]:
    def write(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write
