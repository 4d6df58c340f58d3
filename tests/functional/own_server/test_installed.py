"""What the wheel installs is enough: away from the checkout it exports a shop, serves it and answers."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from support import small_shops
from support.installation import ROOT, build, install, run, wheel_in
from support.once import made_once
from support.running import free_ports

PATIENCE = 120.0  # seconds that a start may take on a busy machine

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="not a git checkout: nothing says which files are tracked"
)


def wait_until_ready(server: subprocess.Popen[bytes], url: str) -> bool:
    """Whether the server answers before it ends, or patience does."""
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
        time.sleep(0.2)
    return False


def test_a_wheel_that_was_built_from_the_sdist_exports_serves_and_answers(
    tmp_path: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
):
    fuserank = install(wheel_in(made_once(tmp_path_factory, "distributions", build)), tmp_path / "venv") / "fuserank"
    bundle, catalog = tmp_path / "bundle", small_shops.single_item(tmp_path).catalog
    shop = ("--catalog", catalog, "--encoder", tiny_encoder, "--quality", "quick", "--cases", "50", "--out", bundle)
    run(fuserank, "export", "bundle", *shop, cwd=tmp_path)

    http, grpc, metrics = map(str, free_ports())
    ports = ("--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics)
    command = [str(fuserank), "serve", str(bundle), *ports]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT) as server,
    ):
        try:
            ready = wait_until_ready(server, f"http://127.0.0.1:{http}/v2/models/search/ready")
            assert ready, (tmp_path / "log").read_text("utf-8")
            found = run(fuserank, "search", "chair", "--url", f"127.0.0.1:{grpc}", "--json", cwd=tmp_path)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(PATIENCE)
    assert [item["id"] for item in json.loads(found)["items"]] == ["only"]
