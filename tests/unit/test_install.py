"""Installing: uv looks where pip is configured to look, and where uv cannot install, pip does."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
assert SPEC is not None
assert SPEC.loader is not None
install = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(install)

LOCK = ROOT / "requirements" / "demo.lock"


def test_settings_of_the_environment_count_more_than_those_of_files():
    listed = (
        "global.index-url='https://file.example'\nglobal.cert='/file.pem'\n:env:.cert='/env.pem'\nlist.format='json'"
    )
    assert install.pip_settings(listed) == {"index-url": "https://file.example", "cert": "/env.pem"}
    assert install.pip_settings("install.cert='/install.pem'\nglobal.cert='/global.pem'") == {"cert": "/install.pem"}
    assert install.pip_settings("") == {}


def test_uv_gets_every_source_and_certificate_of_pip(monkeypatch):
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "index-url": "https://one.example", "extra-index-url": "file:///two file:///three", "find-links": "/a /b",
        "cert": "/c.pem",
    }  # fmt: skip
    environment = install.uv_environment(settings)
    assert environment["UV_DEFAULT_INDEX"] == "https://one.example"
    assert environment["UV_INDEX"] == "file:///two file:///three"
    assert environment["UV_FIND_LINKS"] == "/a,/b"
    assert environment["SSL_CERT_FILE"] == "/c.pem"
    monkeypatch.setenv("UV_INDEX", "https://mine.example")
    assert install.uv_environment(settings)["UV_INDEX"] == "https://mine.example"


@pytest.fixture
def commands(monkeypatch):
    """What would be run; each command succeeds unless its words are among `failing`."""
    ran: list[list[str]] = []
    failing: list[set[str]] = []

    def run(command, environment=None):
        ran.append(list(command))
        return not any(words <= set(command) for words in failing)

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "configured", dict)
    return ran, failing


def by_uv(command):
    return command[:3] == [sys.executable, "-m", "uv"]


def test_uv_installs_the_lock_then_torch_then_the_project(commands):
    ran, _ = commands
    assert install.install(LOCK)
    assert [by_uv(command) for command in ran] == [False, True, True, True]  # pip installs uv
    assert "--require-hashes" in ran[0]
    assert {"--require-hashes", str(LOCK)} <= set(ran[1])
    assert {"--torch-backend=auto", str(ROOT / "requirements" / "torch.txt")} <= set(ran[2])
    assert {"--editable", str(ROOT)} <= set(ran[3])


def test_a_configured_source_decides_which_torch(commands, monkeypatch):
    ran, _ = commands
    monkeypatch.setattr(install, "configured", lambda: {"find-links": "/wheels"})
    assert install.install(LOCK)
    assert not any("--torch-backend=auto" in command for command in ran)


def test_where_uv_cannot_choose_torch_the_configured_index_decides(commands):
    ran, failing = commands
    failing.append({"--torch-backend=auto"})
    assert install.install(LOCK)
    assert by_uv(ran[-1])
    assert [str(ROOT / "requirements" / "torch.txt") in command for command in ran] == [False, False, True, True, False]


@pytest.mark.parametrize("broken", [{"uv"}, {str(ROOT / "requirements" / "uv.lock")}])
def test_where_uv_cannot_install_pip_does_and_says_so(commands, capsys, broken):
    ran, failing = commands
    failing.append(broken)
    assert install.install(LOCK)
    assert "pip does" in capsys.readouterr().err
    last = ran[-3:]
    assert not any(by_uv(command) for command in last)
    assert {"--require-hashes", str(LOCK)} <= set(last[0])
    assert str(ROOT / "requirements" / "torch.txt") in last[1]
    assert "--editable" in last[2]


def test_what_neither_can_install_is_a_failure(commands):
    _, failing = commands
    failing.append({"install"})
    assert not install.install(LOCK)


@pytest.mark.parametrize("name", ["demo.lock", "dev.lock", "docs.lock", "uv.lock"])
def test_every_locked_package_has_a_version_and_a_hash_and_torch_is_none_of_them(name):
    text = (ROOT / "requirements" / name).read_text("utf-8").replace("\\\n", "")
    packages = [line for line in text.splitlines() if not line.startswith("#")]
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", package), package
        assert not package.startswith("torch==")


def test_the_demos_packages_are_those_of_the_dev_set_in_the_same_versions():
    demo, dev = (
        {line.split(" ")[0] for line in (ROOT / "requirements" / name).read_text("utf-8").splitlines() if "==" in line}
        for name in ("demo.lock", "dev.lock")
    )
    assert demo < dev


def test_what_the_site_shares_with_the_dev_set_has_the_same_versions():
    docs, dev = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / name).read_text("utf-8"), re.M))
        for name in ("docs.lock", "dev.lock")
    )
    assert {name: dev[name] for name in docs if name in dev} == {name: docs[name] for name in docs if name in dev}
