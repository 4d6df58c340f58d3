"""Prometheus itself on a running replica, with the labels that it would have in a cluster."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from support.busy_machine import wait_until
from support.charts import NAMESPACE, RELEASE
from support.replica import Replica

POD = f"{RELEASE}-5d9f-x2x7k"
# Names of series, wherever one is written: in a rule, a panel, a scaler's query; not those of packages.
NAME = re.compile(r"\b((?:fuserank|nv)_[a-z0-9_]+)\b(?!\.\w)")


def scraped_names(metrics: str) -> set[str]:
    """The names of all series of a scrape."""
    return {match.group(1) for line in metrics.splitlines() if (match := re.match(r"([a-zA-Z_:][\w:]*)[{ ]", line))}


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> dict[str, float]:
        """The present values of an expression, by the label `pod` (or nothing)."""
        address = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(address, timeout=10) as reply:
            found = json.load(reply)
        assert found["status"] == "success", found
        return {each["metric"].get("pod", ""): float(each["value"][1]) for each in found["data"]["result"]}

    def wait_for(self, expression: str) -> dict[str, float]:
        """Asks until there is an answer."""

        def answer() -> dict[str, float]:
            with suppress(OSError):  # it is still starting
                return self.query(expression)
            return {}

        values = wait_until(answer)
        assert values, f"no answer to {expression}"
        return values


@contextmanager
def prometheus(replica: Replica, folder: Path, port: int) -> Iterator[Prometheus]:
    """Scrapes a replica every second until the block ends."""
    target = {
        "targets": [f"127.0.0.1:{replica.endpoints.metrics}"],
        "labels": {"namespace": NAMESPACE, "pod": POD},
    }
    job = {"job_name": "fuserank", "scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": [target]}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"scrape_configs": [job]}), "utf-8")
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait()
