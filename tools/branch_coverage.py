"""How many branches of the client and the ensemble the tests take: the part `coverage` of the report `reliability`.

Commands and servers that tests start in processes of their own count too, where Python ends in them as it should. Needs
coverage.py, see `make coverage`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuserank_evaluation.reports.report import Table, merge_report

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "coverage"
TESTS = ("tests/unit/client", "tests/unit/ensemble", "tests/functional")
ROOMS = ("client", "ensemble")
GOAL = 0.9  # of a room
FEW = 0.8  # a file below it is listed


@dataclass(frozen=True)
class Branches:
    """Branches, and how many of them were taken."""

    taken: int
    all: int

    @property
    def share(self) -> float:
        """Taken ones over all; 1 where there are none."""
        return self.taken / self.all if self.all else 1.0


def main() -> None:
    """Runs tests, and writes the report; exits as pytest does, also where a test fails: what it took counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", default=TESTS)
    parser.add_argument("--processes", default="2")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    _coverage("erase")
    failed = _coverage("run", "-m", "pytest", *options.tests, "--numprocesses", options.processes, check=False)
    write_report()
    sys.exit(failed)


def write_report() -> None:
    """Adds up what all processes took, and writes the part of the report."""
    _coverage("combine", "--quiet")
    _coverage("json", "--quiet", "-o", str(BUILD / "report.json"))
    files = json.loads((BUILD / "report.json").read_text("utf-8"))["files"]
    branches = {name: _of_file(found["summary"]) for name, found in files.items()}
    rooms = {room: total(branches, room) for room in ROOMS}
    sys.stdout.write("".join(f"{room}: {found.share:.1%} of {found.all:,} branches\n" for room, found in rooms.items()))
    path = merge_report(
        "reliability",
        "coverage",
        None,
        {f"branch_coverage_{room}": round(found.share, 4) for room, found in rooms.items()},
        {f"branch_coverage_{room}": f"share of {room}'s branches that tests take; goal {GOAL}" for room in ROOMS},
        {},
        {f"Files below {FEW:.0%}": low(branches)},
    )
    sys.stdout.write(f"{path}\n")


def total(branches: Mapping[str, Branches], room: str) -> Branches:
    """All branches of a room's files."""
    of_room = [found for name, found in branches.items() if Path(name).parts[0] == room]
    return Branches(sum(found.taken for found in of_room), sum(found.all for found in of_room))


def low(branches: Mapping[str, Branches]) -> Table:
    """A table of the files of which few branches are taken, the fewest first."""
    few = sorted((found.share, name) for name, found in branches.items() if found.share < FEW)
    rows = [[f"`{name}`", f"{branches[name].taken} of {branches[name].all}"] for _, name in few]
    return [["file", "branches taken"], *rows]


def _of_file(summary: Mapping[str, Any]) -> Branches:
    return Branches(summary["covered_branches"], summary["num_branches"])


def _coverage(*arguments: str, check: bool = True) -> int:
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=check).returncode


if __name__ == "__main__":
    main()
