"""The Makefile calls commands and options that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fuserank_benchmarks import cli as benchmarks
from fuserank_evaluation import cli as evaluation

MAKEFILE = (Path(__file__).parents[3] / "Makefile").read_text("utf-8").replace("\\\n", " ")
APPS = {r"\$\(BENCHMARK\)": benchmarks.app, r"fuserank evaluate": evaluation.app}
CALLS = [
    (start, match[1].split(), re.findall(r"--[a-z-]+", match[2]))
    for start in APPS
    for match in re.finditer(start + r"((?: [a-z][a-z-]*)+)(.*)", MAKEFILE)
]


@pytest.mark.parametrize(("start", "words", "options"), CALLS, ids=[" ".join(words) for _, words, _ in CALLS])
def test_a_command_of_the_makefile_exists_with_its_options(start, words, options):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(APPS[start], [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert [option for option in options if option not in result.output] == []


def test_the_makefile_calls_both_rooms():
    assert {start for start, _, _ in CALLS} == set(APPS)
    assert len(CALLS) >= 12
