"""`fuserank bench` reads concurrency ranges and files of questions."""

import pytest
import typer
from typer.testing import CliRunner

from fuserank_benchmarks.perf_analyzer import command
from fuserank_benchmarks.perf_analyzer.command import parse_concurrency, read_questions
from fuserank_benchmarks.perf_analyzer.program import PerfAnalyzerError


def test_concurrencies_double_up_to_the_last():
    assert parse_concurrency("1:32") == [1, 2, 4, 8, 16, 32]
    assert parse_concurrency("3:10") == [3, 6, 10]
    assert parse_concurrency("5") == [5]


@pytest.mark.parametrize("text", ["", "0:4", "8:4", "a", "1:2:3", "1:-2"])
def test_a_malformed_concurrency_range_is_refused(text):
    with pytest.raises(ValueError, match=r"--concurrency: found .*; allowed: N or FROM:TO"):
        parse_concurrency(text)


def test_questions_are_queries_and_users_separated_by_a_tab(tmp_path):
    path = tmp_path / "questions.tsv"
    path.write_text("milk\t900\n\nbread\n\t7\n", "utf-8")
    assert read_questions(path) == [("milk", "900"), ("bread", ""), ("", "7")]
    path.write_text("\n", "utf-8")
    with pytest.raises(ValueError, match="found no line"):
        read_questions(path)


@pytest.mark.parametrize(("options", "hinted"), [(["--shared-memory"], True), ([], False)])
def test_a_server_that_keeps_shared_memory_closed_is_met_with_what_opens_it(monkeypatch, options, hinted):
    def refuse(*given):
        raise PerfAnalyzerError("This protocol is restricted, expecting header 'triton-grpc-protocol-FuseRank-Closed'")

    monkeypatch.setattr(command, "find_perf_analyzer", lambda cache: None)
    monkeypatch.setattr(command, "measure", refuse)
    app = typer.Typer()
    app.command()(command.bench)
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 1
    assert ("fuserank serve --shared-memory" in done.output) is hinted
