"""The code of the pages runs as it stands there, against a real server: Python, JavaScript, commands and curl."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fuserank.aio import AsyncClient
from fuserank.cli import app
from fuserank.client import Client
from fuserank.rest.app import create_app
from fuserank_benchmarks.storefront import serve_pages
from fuserank_ensemble.serving.server import Server
from support import asgi
from support.busy_machine import PATIENCE, wait_until
from support.pages import REPOSITORY, Page, pages
from support.running import url

pytestmark = pytest.mark.targets("single_process", reason="what a page shows does not hang on the target")
GRPC, HTTP = "127.0.0.1:8001", "http://127.0.0.1:8000"  # as pages have them
NODE = shutil.which("node")
TUTORIAL = Page(REPOSITORY / "docs" / "tutorial.md")
# What asks a server; other commands make bundles and serve them.
ASKING = ("search", "recommend", "similar", "suggest", "status", "record", "merge", "forget", "upsert", "delete")
COMMAND = re.compile(rf"^(?:echo '(?P<piped>[^']*)' \| )?fuserank (?P<words>(?:{'|'.join(ASKING)})\b.*)$", re.M)
# The Chinese pages hold the same blocks, see tests/unit/docs/test_pages.py.
ENGLISH = [page for page in pages() if ".zh-CN" not in page.name]
OTHERS = [page for page in ENGLISH if page.name != TUTORIAL.name]
BLOCKS = [
    pytest.param(block, id=f"{page.name}:{number}")
    for page in ENGLISH
    if GRPC in page.text  # to parse them all takes each process that collects the tests a second
    for number, block in enumerate(page.fences("python"))
    if GRPC in block
]


def commands(page: Page) -> list[re.Match[str]]:
    """What a page types to ask a server, in its order."""
    typed = (re.sub(r"^\$ ", "", block, flags=re.M) for block in page.fences("", "sh", "bash", "console"))
    return [command for block in typed for command in COMMAND.finditer(block)]


@pytest.fixture(scope="module")
def tutorials_items(live_server: Server) -> Iterator[None]:
    """The live server has what the tutorial sells, too."""
    (catalog,) = [block for block in TUTORIAL.fences("csv") if block.startswith("item_id,")]
    kept = ("item_id", "title", "brand", "category", "price")
    items = [{name: row[name] for name in kept} for row in csv.DictReader(catalog.splitlines())]
    with Client(url(live_server), timeout=PATIENCE) as client:
        result = client.upsert([{**item, "price": float(item["price"])} for item in items])
        assert result.rejected == 0, result.changes
        client.search("espresso", k=1, min_position=result.position)
        yield
        client.delete([item["item_id"] for item in items])


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_python_runs(block: str, live_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block.replace(GRPC, url(live_server)), "page", "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.skipif(NODE is None, reason="no Node is installed")
def test_the_blocks_of_javascript_run(live_server: Server, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "client" / "examples" / "kserve.mjs", tmp_path)
    blocks = [block for page in ENGLISH for block in page.fences("js")]
    assert blocks
    address = f"http://127.0.0.1:{live_server.endpoints.http}"
    for block in blocks:
        (tmp_path / "page.mjs").write_text(block.replace(HTTP, address) + "console.log(items.length);\n")
        done = subprocess.run([str(NODE), "page.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


def run(command: re.Match[str], server: Server) -> Result:
    words = shlex.split(command["words"], comments=True)
    words = [word.replace(GRPC, url(server)) for word in words]
    return CliRunner().invoke(app, words, input=command["piped"], env={"FUSERANK_URL": url(server)})


def wait_for(output: str, server: Server) -> None:
    """Waits until the server knows what a command says that it wrote."""
    (position,) = re.findall(r"position ([\d,]+)", output)
    with Client(url(server), timeout=PATIENCE) as client:
        assert wait_until(
            lambda: not client.search("x", k=1, min_position=int(position.replace(",", ""))).status.degraded
        )


@pytest.mark.usefixtures("tutorials_items")
def test_the_commands_of_the_tutorial_answer_in_their_order_as_it_says(
    live_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (events,) = TUTORIAL.fences("json")
    Path("events.jsonl").write_text(events)
    said = {}
    for command in commands(TUTORIAL):
        done = run(command, live_server)
        # One of its events is of no kind that there is.
        assert done.exit_code == (2 if "events.jsonl" in command["words"] else 0), f"{command[0]}: {done.output}"
        said[command["words"]] = done.output
        if command["words"].startswith("upsert"):
            wait_for(done.output, live_server)  # whoever types the next command takes longer
    assert len(said) > 12
    assert 'event: found "purchse"' in said["record events.jsonl"]
    assert "recorded 2 · duplicates 0 · spooled 0 · rejected 1" in said["record events.jsonl"]
    assert "merged 2" in said["merge eva --session 5f1c"]


@pytest.mark.parametrize("page", [page for page in OTHERS if commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_answer(page: Page, live_server: Server) -> None:
    for command in commands(page):
        done = run(command, live_server)
        assert done.exit_code == 0, f"{command[0]}: {done.output}"


def test_the_curl_of_the_rest_page_is_answered(live_server: Server) -> None:
    (command,) = [block for block in Page(REPOSITORY / "docs" / "rest.md").fences("") if block.startswith("curl")]
    program, _, address, *words = shlex.split(command.replace("\\\n", " "))
    given = dict(zip(words[::2], words[1::2], strict=True))
    name, _, value = given["-H"].partition(": ")
    app = create_app(AsyncClient(url(live_server), timeout=PATIENCE))
    answer = asgi.send(app, "POST", "/" + address.split("/", 3)[3], given["-d"].encode(), {name: value})
    assert (program, answer.status) == ("curl", 200), answer.text
    assert len(json.loads(answer.body)["items"]) == 3


def test_clients_of_embedding_servers_are_answered(live_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = Page(REPOSITORY / "docs" / "rest.md").fences("python")
    with serve_pages(create_app(AsyncClient(url(live_server), timeout=PATIENCE))) as address:
        exec(compile(block.replace("http://127.0.0.1:8090", address), "page", "exec"), {})
    vector, *results = capsys.readouterr().out.splitlines()
    assert len(json.loads(vector)) == 3
    assert sorted(int(result.split()[0]) for result in results) == [0, 1]
