"""Under the seccomp profile of `k8s/seccomp` a real server answers, and what it does not need is refused."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Sequence
from ctypes.util import find_library
from pathlib import Path

import pytest

from fuserank.client import Client
from support.busy_machine import PATIENCE
from support.pages import REPOSITORY
from support.running import BESIDE, FUSERANK, assert_no_traceback, free_ports

pytestmark = pytest.mark.skipif(find_library("seccomp") is None, reason="libseccomp is not installed")

PROFILE = REPOSITORY / "k8s" / "seccomp" / "fuserank.json"
CONFINED = [sys.executable, str(REPOSITORY / "tests" / "support" / "confined.py"), str(PROFILE)]
# What any user may do where nothing forbids it.
FORBIDDEN = {
    "a namespace": "libc.unshare(0x10000000)",
    "being traced": "libc.ptrace(0, 0, 0, 0)",
    "a socket to the kernel's ciphers": "libc.socket(38, 5, 0)",
}


def confined(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([*CONFINED, *command], text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_no_server_needs_is_refused(what: str):
    ask = f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); {FORBIDDEN[what]}; print(ctypes.get_errno())"
    with confined([sys.executable, "-c", ask]) as asking:
        out, err = asking.communicate(timeout=PATIENCE)
    assert (out, err) == (f"{errno.EPERM}\n", "")


def test_a_server_answers_and_records_under_it(bundle_root: Path, tmp_path: Path):
    http, grpc, metrics = map(str, free_ports())
    command = [FUSERANK, "serve", str(bundle_root), "--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics]
    command += ["--state", f"sqlite:{tmp_path / 'log.sqlite'}"]
    command += [word for model in (*BESIDE, "catalog", "profile") for word in ("--without", model)]
    with confined(command) as serving:
        try:
            assert serving.stdout is not None
            assert " ready after " in serving.stdout.readline(), serving.stderr and serving.stderr.read()
            with Client(f"127.0.0.1:{grpc}", timeout=PATIENCE) as client:
                item = client.search("milk").items[0].id
                recorded = client.record([{"event_id": "e", "user_id": "u", "item_id": item, "event": "purchase"}])
            serving.terminate()
            _, err = serving.communicate(timeout=PATIENCE)
        finally:
            serving.kill()
    assert recorded.recorded == 1
    assert serving.returncode == 0
    assert_no_traceback(err)
