"""A command line that mixes a shop's files with a command is refused in words."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.cli import app


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--catalog", "items.csv", "quote"], "found --catalog and the command quote"),
        (["--cases", "9", "--no-boosted-trees", "quote"], "found --cases, --boosted-trees and the command quote"),
        (["--windows", "3"], "found --windows and no command"),
        (["--catalog", "items.csv", "--interactions", "log.csv", "demo"], "No such command 'demo'"),
    ],
)
def test_options_of_a_shop_and_a_command_are_not_mixed(line, words):
    answer = CliRunner().invoke(app, line)
    assert answer.exit_code == 2
    assert words in answer.output
