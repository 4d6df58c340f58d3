"""The command line prints results on stdout, errors as one line on stderr, and runs commands of other packages."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import grpc
import pytest
from typer.testing import CliRunner

from fuserank import plugins
from fuserank.cli import app

BAD_K = "OPTIONS.k: found 0; allowed: an integer from 1 to 200"


@pytest.fixture
def fuserank(triton, monkeypatch):
    """Runs `fuserank` against the fake, wide enough that no table cell wraps."""
    monkeypatch.setenv("FUSERANK_URL", triton.url)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, list(arguments), prog_name="fuserank")


def test_search_prints_a_table_of_fields_scores_and_signals(fuserank):
    run = fuserank("search", "half gallon milk", "--user", "900", "-k", "2", "--explain")
    assert run.exit_code == 0
    milk = next(line for line in run.stdout.splitlines() if "item 0" in line)
    for text in ("1", "Milk [2%]", "2.50", "2.750", "text 60%: matches the words"):
        assert text in milk
    assert "dairy, cold · yes" in run.stdout
    assert "habit 40%: bought 3 times" in run.stdout
    assert "base" not in run.stdout
    assert '"half gallon milk" for 900' in run.stdout
    assert "candidates: dense 100, fused 128 · degraded: ranker" in " ".join(run.stdout.split())


def test_every_option_reaches_the_server(fuserank, triton):
    run = fuserank(
        *["recommend", "900", "-k", "3", "--history", "a, b", "--filter", '{"price": {"lt": 5}}'],
        *["--context", '{"store": "7"}', "--objective", '{"click": NaN}', "--diversity", "0.5"],
        *["--exclude-seen", "--deadline-ms", "50", "--explain", "--fields", "title,price"],
        *["--rules", '[{"boost": 1, "filter": {"brand": "Acme"}}, {"pin": 1, "item_ids": ["a"]}]'],
        *["--explore", '{"rate": 0.2, "slots": [2, 5], "seed": 7}', "--language", "zh", "--plain"],
    )
    assert run.exit_code == 0
    (row,) = triton.requests[0]
    assert (row.query, row.user) == (b"", b"900")
    assert str(row.options.pop("objective")) == "{'click': nan}"
    assert row.options == {
        "k": 3,
        "history": ["a", "b"],
        "filter": {"price": {"lt": 5}},
        "context": {"store": "7"},
        "diversity": 0.5,
        "exclude_seen": True,
        "deadline_ms": 50,
        "explain": True,
        "fields": ["title", "price"],
        "rules": [{"boost": 1, "filter": {"brand": "Acme"}}, {"pin": 1, "item_ids": ["a"]}],
        "explore": {"rate": 0.2, "slots": [2, 5], "seed": 7},
        "language": "zh",
        "understand": False,
    }


def test_the_options_of_a_page_reach_the_server_and_its_counts_are_printed(fuserank, triton):
    triton.status = {
        "total": {"value": 1320, "relation": "gte"},
        "facets": {"price": [{"to": 2.5, "count": 3}], "category": [{"value": "A", "count": 9, "children": []}]},
        "without": {"brand": 4},
        "did_you_mean": "milk",
    }
    run = fuserank(
        *["search", "mlik", "--facets", '["brand", {"field": "price", "ranges": 2}]', "--offset", "20"],
        *["--sort", "newest", "--collapse-by", "brand", "--highlight", "--probability"],
        *["--exposure", '{"brand": {"max_share": 0.4}}'],
    )
    assert run.exit_code == 0
    assert triton.requests[0][0].options == {
        "facets": ["brand", {"field": "price", "ranges": 2}],
        "offset": 20,
        "sort": "newest",
        "collapse": "brand",
        "highlight": True,
        "probability": True,
        "exposure": {"brand": {"max_share": 0.4}},
    }
    printed = " ".join(run.stdout.split())
    for text in ("at least 1,320 match", "4 without the condition on brand", "did you mean 'milk'?", "to 2.5"):
        assert text in printed
    fuserank("search", "milk", "--facets", "brand,price", "--collapse")
    assert triton.requests[1][0].options == {"facets": ["brand", "price"], "collapse": True}


def test_the_table_shows_placements_rule_outcomes_and_exploration(fuserank, triton):
    pinned = {"name": "placement", "value": None, "contribution": 0.0, "share": 0.0, "reason": "pinned by the shop"}
    milk = triton.items[0]
    triton.items = [{**milk, "placed": "pin", "signals": [*milk["signals"], pinned]}]
    triton.status = {
        **triton.status,
        "rules": [{"kind": "boost", "matched": 0}, {"kind": "pin", "matched": 2, "placed": 1, "filtered_out": 1}],
        "explore": {"seed": 7, "slots": [2], "pool": 4, "explored": 1},
        "understood": {"text": "beer", "price_to": 10.0, "ruled_out": ["gluten"]},
    }
    table = " ".join(fuserank("search", "milk", "--explain").stdout.split())
    assert "pinned by the shop" in table
    assert "rule 0 (boost): matched 0 · rule 1 (pin): matched 2, placed 1, filtered_out 1" in table
    assert "explored 1 of 4, seed 7" in table
    assert "understood: text beer, price_to 10.0, ruled_out gluten" in table


def test_options_left_out_are_not_sent(fuserank, triton):
    fuserank("search", "milk")
    assert triton.requests[0][0].raw_options == b"{}"


def test_stdout_holds_only_json_with_the_json_option(fuserank):
    run = fuserank("search", "milk", "--explain", "--json")
    result = json.loads(run.stdout)
    assert result["items"][0]["signals"][1]["reason"] == "matches the words"
    assert result["status"]["bundle"] == "b-1a2b"
    assert run.stderr == ""


def test_status_prints_a_table_or_json(fuserank):
    run = fuserank("status")
    assert run.exit_code == 0
    for text in ("2.51.0", "b-1a2b", "encoder 1 UNAVAILABLE unloaded"):
        assert text in run.stdout
    assert json.loads(fuserank("status", "--json").stdout)["models"][0]["state"] == "READY"


def test_status_of_a_server_that_is_not_ready_exits_1(fuserank, triton):
    triton.model_ready = False
    assert fuserank("status", "--json").exit_code == 1


def test_an_invalid_request_is_one_line_and_exit_2(fuserank, triton):
    triton.failures = [(grpc.StatusCode.INVALID_ARGUMENT, f"in ensemble 'search', {BAD_K}")]
    run = fuserank("search", "milk", "-k", "0", "--json")
    assert (run.exit_code, run.stdout, run.stderr) == (2, "", f"fuserank: {BAD_K}\n")


@pytest.mark.parametrize("option", ["--filter", "--context", "--objective", "--rules", "--explore"])
def test_malformed_json_is_named_before_any_call(fuserank, triton, option):
    run = fuserank("search", "milk", option, "{x")
    assert run.exit_code == 2
    assert run.stderr.startswith(f"fuserank: {option}: found malformed JSON")
    assert not triton.requests


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "http://127.0.0.1:8001"],
        ["--url", "127.0.0.1:9", "--timeout", "2"],
        ["--tls-ca", "none.pem"],
        ["--tls-cert", "none.pem"],
        ["--tls", "--timeout", "2"],
    ],
)
def test_other_failures_are_one_line_and_exit_1(fuserank, arguments):
    run = fuserank("search", "milk", *arguments)
    assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (1, "", 1)


def test_headers_are_sent_and_checked(fuserank, triton):
    assert fuserank("search", "milk", "--header", "x-shop=a=b", "--header", "x-b=1").exit_code == 0
    assert (triton.metadata[0]["x-shop"], triton.metadata[0]["x-b"]) == ("a=b", "1")
    assert fuserank("search", "milk", "--header", "nothing").exit_code == 2


@pytest.mark.parametrize("encrypted_triton", ["mutual"], indirect=True)
def test_a_process_over_mutual_tls_prints_nothing_but_its_own_lines(encrypted_triton, certificates):
    def run(*arguments):
        command = [sys.executable, "-m", "fuserank.cli", "search", "milk", "--url", encrypted_triton.url, "--json"]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    own = ["--tls-cert", certificates.client.cert, "--tls-key", certificates.client.key]
    good = run("--tls-ca", certificates.server.cert, *own)
    assert (good.returncode, good.stderr, len(json.loads(good.stdout)["items"])) == (0, "", 2)
    bad = run("--tls-ca", certificates.stranger.cert, *own)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("command", ["search", "recommend", "status"])
def test_help_shows_an_example(fuserank, command):
    assert f"Example: fuserank {command}" in fuserank(command, "--help").stdout


@pytest.fixture
def other_packages(tmp_path, monkeypatch):
    """A package that adds commands: a function, an app, and a module whose imports are missing."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text("")
    (tmp_path / "room" / "server.py").write_text(
        'import sys\nLOADED = True\n\ndef serve(port: int = 1) -> None:\n    """Serve a bundle.\n\n    More.\n    """\n'
        '    print(f"port {port}")\n'
    )
    (tmp_path / "room" / "exporting.py").write_text(
        '"""Write a bundle."""\nimport typer\napp = typer.Typer()\n\n'
        "@app.command()\ndef bundle(out: str) -> None:\n    print(out)\n\n@app.command()\ndef other() -> None: ...\n"
    )
    (tmp_path / "room" / "bare.py").write_text('"""Need more."""\nimport a_missing_package\napp = 1\n')
    monkeypatch.syspath_prepend(tmp_path)
    values = {
        "serve": "room.server:serve",
        "export": "room.exporting:app",
        "bare": "room.bare:app",
        "gone": "no_room:app",
    }
    group = EntryPoints(EntryPoint(name, value, plugins.GROUP) for name, value in values.items())
    monkeypatch.setattr(plugins, "entry_points", group.select)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "room"]:
        del sys.modules[name]


def test_help_lists_commands_of_other_packages_without_importing_them(fuserank, other_packages):
    run = fuserank("--help")
    for line in ("search", "serve", "Serve a bundle.", "Write a bundle.", "Need more.", "From no_room."):
        assert line in run.stdout
    assert not [name for name in sys.modules if name.partition(".")[0] == "room"]


def test_a_function_and_an_app_join_as_commands(fuserank, other_packages):
    assert fuserank("serve", "--port", "7").stdout == "port 7\n"
    assert fuserank("export", "bundle", "here").stdout == "here\n"
    assert "--port" in fuserank("serve", "--help").stdout
    assert "Usage: fuserank export" in fuserank("export", "--help").stdout


def test_a_command_with_missing_imports_says_so_and_breaks_no_other(fuserank, other_packages):
    run = fuserank("bare")
    assert (run.exit_code, run.stdout) == (1, "")
    assert run.stderr == "fuserank bare: No module named 'a_missing_package'; install what it needs\n"
    assert fuserank("search", "milk").exit_code == 0
    assert fuserank("nothing").exit_code == 2


def test_a_missing_package_is_answered_with_the_extra_to_install(fuserank, tmp_path, monkeypatch):
    folder = tmp_path / "fuserank-0.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: fuserank\nVersion: 0.1\nProvides-Extra: vend\n")
    (folder / "entry_points.txt").write_text("[fuserank.commands]\nvend = a_missing_package:app\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert fuserank("vend").stderr == (
        "fuserank vend: No module named 'a_missing_package'; pip install 'fuserank[vend]'\n"
    )


def test_help_of_the_command_line_needs_no_model_library():
    script = (
        "import sys, fuserank.cli as c\ntry: c.app(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for library in (
        "torch",
        "onnxruntime",
        "transformers",
        "pandas",
        "msgspec",
        "fuserank_ensemble",
        "fuserank_export",
    ):
        assert f"'{library}'" not in run.stdout.splitlines()[-1]


def test_without_its_extra_the_command_line_says_what_to_install():
    script = "import sys; sys.modules['typer'] = None; import fuserank.cli"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert "pip install 'fuserank[cli]'" in run.stderr
