"""`fuserank shop` reaches a server as the other commands do, and ends with the one that it runs."""

from __future__ import annotations

import signal
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

from fuserank.cli import app
from fuserank.errors import ConfigurationError
from fuserank.rest import command as rest_command
from fuserank.storefront import command as shop_command
from fuserank.storefront.command import run_beside
from fuserank.storefront.served_bundle import ServedBundle, list_command
from support.busy_machine import PATIENCE


class Pages:
    """Stands in for uvicorn: runs until it should not."""

    def __init__(self, seconds=PATIENCE):
        self.should_exit, self.seconds = False, seconds

    def run(self):
        end = time.monotonic() + self.seconds
        while not self.should_exit and time.monotonic() < end:
            time.sleep(0.01)


def program(text):
    return ServedBundle([sys.executable, "-c", text])


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_where_the_server_ends_the_shop_ends_with_its_code_and_its_last_lines(capsys):
    pages = Pages()
    talk = "import sys; print('\\n'.join(f'line {n}' for n in range(99)), flush=True); sys.exit('no such bundle')"
    with pytest.raises(typer.Exit) as ended:
        run_beside(pages, program(talk))
    assert (ended.value.exit_code, pages.should_exit) == (1, True)
    said = capsys.readouterr().err
    assert "line 98\n" in said
    assert "line 9\n" not in said
    assert "no such bundle" in said
    assert "has ended with exit code 1" in said


def test_a_signal_that_ends_the_server_is_an_exit_code_as_a_shell_has_it():
    with pytest.raises(typer.Exit) as ended:
        run_beside(Pages(), program("import os; os.kill(os.getpid(), 9)"))
    assert ended.value.exit_code == 137


def test_where_the_pages_end_the_server_is_ended_with_them(capsys):
    served = program("import time; time.sleep(600)")
    run_beside(Pages(seconds=0), served)
    assert served.exit_code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == ""


def test_the_ports_of_a_served_bundle_stand_beside_its_grpc_port(tmp_path):
    command = list_command(tmp_path, "127.0.0.1:9001")
    assert command[command.index("--http-port") + 1] == "9000"
    assert command[command.index("--metrics-port") + 1] == "9002"
    with pytest.raises(ConfigurationError, match=r"--url: found 'here'; allowed: host:port"):
        list_command(tmp_path, "here")


@pytest.mark.parametrize("name", ["rest", "shop"])
def test_credentials_and_headers_reach_the_client_of_the_server(monkeypatch, tmp_path, name):
    module = {"rest": rest_command, "shop": shop_command}[name]
    (tmp_path / "ca.pem").write_text("certificate")
    opened, hosts = [], []

    class Client:
        def __init__(self, url, **settings):
            opened.append({"url": url, **settings})

    def create(client, given, tokens=None, rate=None):
        hosts.extend(getattr(given, "hosts", given))

    monkeypatch.setattr(module, "AsyncClient", Client)
    monkeypatch.setattr(module, "create_app", create)
    monkeypatch.setattr(module.uvicorn, "run", lambda *_, **__: None)
    monkeypatch.setattr(module.uvicorn, "Config", lambda *_, **__: None)
    monkeypatch.setattr(module.uvicorn, "Server", lambda _: Pages(seconds=0))
    arguments = ["--url", "search.test:443", "--tls-ca", str(tmp_path / "ca.pem"), "--header", "authorization=Bearer x"]
    run = CliRunner().invoke(app, [name, *arguments, "--name", "shop.test"])
    assert run.exit_code == 0, run.output
    (settings,) = opened
    assert (settings["url"], settings["headers"]) == ("search.test:443", {"authorization": "Bearer x"})
    assert settings["tls"].root_ca == tmp_path / "ca.pem"
    assert {"127.0.0.1", "localhost", "shop.test"} <= set(hosts)


def test_a_bundle_is_not_served_beside_an_encrypted_server(tmp_path):
    run = CliRunner().invoke(app, ["shop", "--serve", str(tmp_path), "--tls"])
    assert run.exit_code == 1
    assert "--tls: found beside --serve" in run.output
