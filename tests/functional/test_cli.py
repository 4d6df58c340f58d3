"""The command line against a real server."""

from __future__ import annotations

import json
import subprocess

import pytest

from fuserank.client import Client
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.server import Server
from support.running import FUSERANK, assert_no_traceback, free_ports, url
from support.small_shops import Shop

pytestmark = pytest.mark.targets("single_process", reason="a command line reads and prints the same of every target")


def fuserank(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [FUSERANK, *arguments, "--url", url(server)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def answered(server: Server, *arguments: str) -> dict:
    done = fuserank(server, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_search_prints_json_with_reasons(server: Server, client: Client, bundle: Bundle):
    found = answered(server, "search", "half gallon milk", "--user", "u09", "-k", "4", "--explain")
    expected = client.search("half gallon milk", "u09", k=4)
    assert [item["id"] for item in found["items"]] == [item.id for item in expected]
    assert all(item["signals"] for item in found["items"])
    assert found["status"]["bundle"] == bundle.id


def test_search_takes_every_option(server: Server):
    options = ["--filter", '{"price": {"lt": 6}}', "--objective", '{"purchase": 1}', "--diversity", "0.3"]
    options += ["--history", "i0001,i0002", "--exclude-seen", "--deadline-ms", "5000", "--fields", "title,price"]
    options += ["--context", '{"timestamp": "2024-04-01"}', "--language", "zh"]
    options += ["--rules", '[{"boost": 1, "filter": {"brand": "Acme"}}]', "--explore", '{"slots": [3], "seed": 1}']
    found = answered(server, "search", "bread", *options)
    assert found["items"]
    assert all(item["fields"]["price"] < 6 and set(item["fields"]) == {"title", "price"} for item in found["items"])
    assert found["status"]["rules"][0]["kind"] == "boost"
    assert found["status"]["explore"]["seed"] == 1


def test_search_prints_a_table(server: Server):
    done = fuserank(server, "search", "half gallon milk", "-k", "3", "--explain")
    assert done.returncode == 0, done.stderr
    assert "half gallon milk" in done.stdout


def test_recommend_knows_the_user(server: Server, shop: Shop):
    found = answered(server, "recommend", "u09", "-k", "8", "--exclude-seen")
    assert found["status"]["user_known"]
    assert len(found["items"]) == 8
    assert not {item["id"] for item in found["items"]} & shop.bought["u09"]


def test_status_names_the_bundle_and_the_models(server: Server, bundle: Bundle):
    found = answered(server, "status")
    assert found["ready"]
    assert found["model_ready"]
    assert {model["name"] for model in found["models"]} == {
        "search",
        "encoder",
        "retrieve",
        "similar",
        "suggest",
        "embed",
        "rerank",
    }
    assert found["bundle"] == bundle.id


def test_a_bad_request_is_one_line_and_exit_code_2(server: Server):
    done = fuserank(server, "search", "milk", "-k", "0")
    assert done.returncode == 2
    assert done.stderr == "fuserank: OPTIONS.k: found 0; allowed: an integer from 1 to 200\n"
    assert done.stdout == ""


def test_no_server_is_one_line_and_exit_code_1():
    command = [FUSERANK, "search", "milk", "--url", f"127.0.0.1:{free_ports(1)[0]}", "--timeout", "5"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("fuserank: ")
    assert done.stderr.count("\n") == 1
    assert_no_traceback(done.stderr)
