"""What pages say can be followed: links lead somewhere, commands exist, code compiles, both languages say the same."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections import Counter
from functools import cache
from itertools import pairwise
from urllib.parse import unquote

import pytest
import typer
import yaml

from fuserank.cli import app
from fuserank.plugins import EntryPointCommand, load_command
from fuserank_ensemble.candidates.features import SIGNALS
from fuserank_ensemble.contract.options import Options
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_ensemble.retrieval.own_features import OWN_SIGNALS
from fuserank_ensemble.spec import TARGETS
from support.pages import REPOSITORY, Page, anchor, pages

PAGES = pages()
WRITTEN = [page for page in PAGES if not page.name.startswith("docs/reports/")]
README = Page(REPOSITORY / "README.md")
# What there is in Chinese too.
ENGLISH = [Page(page.path.with_suffix("").with_suffix(".md")) for page in PAGES if page.name.endswith(".zh-CN.md")]
SHELL = ("", "sh", "bash", "console")
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|sh|md|yaml|json|toml|cpp|pbtxt)")
# Options in the pages' lines of text that belong to other programs than ours.
OTHERS = {
    "--cpu", "--multi_gpu", "--nproc_per_node", "--num_processes",  # accelerate and torchrun
    "--model-config-name",  # Triton
    "--device",  # benchmarks/fuserank_benchmarks/speed.py
}  # fmt: skip


def parametrize(name, chosen):
    return pytest.mark.parametrize(name, chosen, ids=lambda page: page.name)


def commands(text):
    """The lines of a block as a shell would run them: comments and prompts off, continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        prompted = line.removeprefix("$ ").removeprefix(".venv/bin/")
        if prompted.startswith(("fuserank ", "make ")):
            yield shlex.split(prompted, comments=True)


def resolve(words):
    """The command of ours that the words after `fuserank` name, and the words that are left for it.

    Raises:
        typer.Exit or an error of the command line, as running it would.
    """
    command, context, rest = typer.main.get_command(app), None, list(words)
    while hasattr(command, "resolve_command") or isinstance(command, EntryPointCommand):
        if isinstance(command, EntryPointCommand):
            command = opened(command.name)
            continue
        if not rest or rest[0].startswith("-"):
            break
        context = command.context_class(command, parent=context, info_name=command.name)
        found = command.get_command(context, rest[0])
        if found is None:
            raise ValueError(f"no command {rest[0]!r} in {command.name!r}")
        command, rest = found, rest[1:]
    return command, rest


@cache
def opened(name):
    """The command behind an entry point; its modules take a while to import."""
    return load_command(typer.main.get_command(app).get_command(None, name)._entry_point)


def options(command):
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def commands_of(command):
    """A command, and all commands below it where it is a group: a group may have options of its own."""
    if isinstance(command, EntryPointCommand):
        command = opened(command.name)
    if not hasattr(command, "resolve_command"):
        return [command]
    below = [command.get_command(None, name) for name in command.list_commands(None)]
    return [command, *(one for child in below for one in commands_of(child))]


@pytest.fixture(scope="session")
def known_options():
    """Every option of the commands that pages name; others may take long to import."""
    group = typer.main.get_command(app)
    named = [name for name in group.list_commands(None) if any(f"fuserank {name}" in page.text for page in WRITTEN)]
    return {name for chosen in named for one in commands_of(group.get_command(None, chosen)) for name in options(one)}


@pytest.fixture(scope="session")
def make_targets():
    program = shutil.which("make")
    if program is None:
        pytest.skip("make is not installed")
    run = subprocess.run([program, "-s", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(re.findall(r"^  make ([\w-]+)", run.stdout, re.M))


@parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_an_anchor(page):
    broken = []
    for target in page.links:
        if target.startswith(("http://", "https://")):
            continue
        path, _, name = unquote(target).partition("#")
        file = (page.path.parent / path).resolve() if path else page.path
        if not file.exists() or (name and name not in Page(file).anchors):
            broken.append(target)
    assert not broken


@parametrize("page", WRITTEN)
def test_every_command_of_ours_is_one_that_would_run(page, tmp_path, monkeypatch):
    # Where pages name it, this file has been written by the command before.
    (tmp_path / "shop.toml").write_text('encoder = "x"\nout = "build/shop"\n[inputs]\ncatalog = "items.csv"\n')
    monkeypatch.chdir(tmp_path)
    for block in page.fences(*SHELL):
        for program, *words in commands(block):
            if program == "fuserank" and "…" not in words:
                command, rest = resolve(words)
                # Parses as the program does: unknown options, wrong choices and missing arguments raise.
                command.make_context(command.name, rest)


@parametrize("page", WRITTEN)
def test_every_make_target_is_in_make_help(page, make_targets):
    named = {
        word
        for text in (*page.fences(*SHELL), *(f"{span}\n" for span in page.spans))
        for program, *words in commands(text)
        for word in words
        if program == "make" and "=" not in word
    }
    assert named <= make_targets


@parametrize("page", WRITTEN)
def test_commands_and_options_within_lines_exist(page, known_options):
    for span in page.spans:
        if span.startswith("--"):
            named = {word.partition("=")[0] for word in span.split() if word.startswith("--")}
            assert named <= known_options | OTHERS
        if span.startswith(("fuserank ", "export bundle", "export engines", "export train")):
            words = [word for word in shlex.split(span) if word != "…"]
            command, rest = resolve(words[words[0] == "fuserank" :])
            assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= options(command)


@parametrize("page", WRITTEN)
def test_python_compiles_and_json_toml_and_yaml_parse(page):
    for block in page.fences("python"):
        compile(block, page.name, "exec")
    for block in page.fences("json"):
        rest = block.strip()
        while rest:  # one value after the other
            _, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:].lstrip()
    for block in page.fences("toml"):
        tomllib.loads(block)
    for block in page.fences("yaml"):
        yaml.safe_load(block)


@parametrize("page", WRITTEN)
def test_every_block_says_what_it_is(page):
    known = {*SHELL, "python", "json", "toml", "yaml", "csv", "mermaid", "js", "go"}
    assert {token.info.strip() for token in page.tokens if token.type == "fence"} <= known


@parametrize("page", WRITTEN)
def test_every_file_that_is_named_exists(page):
    roots = (
        REPOSITORY,
        page.path.parent,
        REPOSITORY / "k8s" / "chart" / "fuserank",
        REPOSITORY / "benchmarks" / "fuserank_benchmarks",
    )
    named = {span for span in page.spans if FILE.fullmatch(span) and not span.startswith("build/")}
    assert not {span for span in named if not any((root / span).exists() for root in roots)}


@parametrize("page", WRITTEN)
def test_headings_are_unique_and_skip_no_level(page):
    anchors = [anchor(words) for _, words in page.headings]
    assert len(set(anchors)) == len(anchors)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_page_is_reached_from_the_readme():
    reached, new = set(), [README]
    while new:
        page = new.pop()
        reached.add(page.path)
        for target in page.links:
            file = (page.path.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.exists() and file not in reached:
                new.append(Page(file))
    assert not {page.name for page in WRITTEN if page.path not in reached}


def without_language(target, pages=frozenset(page.path.name for page in ENGLISH)):
    """A link as both languages have it; pages of both have anchors of their own language."""
    path, _, name = target.replace(".zh-CN.md", ".md").partition("#")
    return path if not name or path.rpartition("/")[2] in pages else f"{path}#{name}"


@parametrize("english", ENGLISH)
def test_both_languages_have_the_same_parts_links_and_figures(english):
    chinese = Page(english.path.with_suffix(".zh-CN.md"))
    assert [level for level, _ in english.headings] == [level for level, _ in chinese.headings]
    assert sorted(map(without_language, chinese.links)) == sorted(map(without_language, english.links))
    assert Counter(NUMBER.findall(english.words)) == Counter(NUMBER.findall(chinese.words))
    for kind in ("fence", "tr_open", "list_item_open"):
        assert [token.type for token in english.tokens].count(kind) == [t.type for t in chinese.tokens].count(kind)
    assert [list(commands(block)) for block in english.fences(*SHELL)] == [
        list(commands(block)) for block in chinese.fences(*SHELL)
    ]
    copied = ("console", "csv", "json", "python")
    assert english.fences(*copied) == chinese.fences(*copied)


@parametrize("english", ENGLISH)
def test_both_languages_lead_to_each_other_and_the_chinese_to_chinese_pages(english):
    chinese = Page(english.path.with_suffix(".zh-CN.md"))
    assert english.links[0] == chinese.path.name
    assert chinese.links[0] == english.path.name
    twins = {page.path for page in ENGLISH}
    followed = {(chinese.path.parent / target.partition("#")[0]).resolve() for target in chinese.links[1:]}
    assert not followed & twins


def test_the_contract_names_every_option_of_a_search():
    rows = Page(REPOSITORY / "docs" / "contract.md").table("option")
    assert [option.strip("`") for option, *_ in rows] == list(Options.__struct_fields__)


def test_the_contract_names_every_signal_of_an_explanation():
    rows = Page(REPOSITORY / "docs" / "contract.md").table("signal")
    # What is equal for all candidates of a request is in the base. A shop's own signals stand before those of towers.
    of_every_shop = [signal for signal in SIGNALS if signal != "request"]
    assert [signal.strip("`") for signal, *_ in rows] == [*of_every_shop[:-2], *OWN_SIGNALS, *of_every_shop[-2:]]


def test_concepts_names_every_channel_and_every_target():
    concepts = Page(REPOSITORY / "docs" / "concepts.md")
    assert {channel.strip("`") for channel, *_ in concepts.table("channel")} == set(CHANNELS)
    assert [target.strip("`") for target, *_ in concepts.table("target")] == list(TARGETS)


def test_the_glossary_is_short_and_sorted():
    terms = [term for term, _ in Page(REPOSITORY / "docs" / "concepts.md").table("term")]
    assert 0 < len(terms) <= 40
    assert [term.lower() for term in terms] == sorted(term.lower() for term in terms)


@parametrize("page", [page for page in WRITTEN if re.match(r"docs/decisions/\d", page.name)])
def test_a_decision_has_a_date_a_reason_and_evidence(page):
    assert [words for _, words in page.headings[1:]] == ["Decision", "Reason", "Evidence"]
    assert page.headings[0][1].startswith(page.path.name[:3] + " ")
    date = page.tokens[4].content
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)
    index = Page(REPOSITORY / "docs" / "decisions" / "README.md")
    assert f"[{page.path.name[:3]}]({page.path.name}) | {page.headings[0][1][4:]} | {date} |" in index.text
