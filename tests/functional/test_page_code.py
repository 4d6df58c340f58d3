"""The Python of the pages runs as it stands there, against a real server."""

from __future__ import annotations

import pytest

from fuserank_ensemble.serving.server import Server
from support.pages import pages
from support.running import url

pytestmark = pytest.mark.targets("single_process", reason="what a page shows does not hang on the target")
ADDRESS = "127.0.0.1:8001"
# The Chinese pages hold the same blocks, see tests/unit/docs/test_pages.py.
BLOCKS = [
    pytest.param(block, id=f"{page.name}:{number}")
    for page in pages()
    if ".zh-CN" not in page.name
    for number, block in enumerate(page.fences("python"))
    if ADDRESS in block
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_python_runs(block: str, live_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block.replace(ADDRESS, url(live_server)), "page", "exec"), {})
    assert capsys.readouterr().out.strip()
