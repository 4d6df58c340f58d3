"""Mutation testing: changes the code in one place at a time, and counts the changes that the unit tests notice.

What decides the order of a page is tried: fusion, filters, ordering, and what came in beside the bundle. A change is
made in a copy of the sources, and tried by the tests of its own module alone. Needs Cosmic Ray, see `make mutation`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import tomlkit
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "mutation"
ENSEMBLE, TESTS = "ensemble/fuserank_ensemble", "tests/unit/ensemble"
# A part of the product, its modules, and the unit tests that are theirs.
PARTS = {
    "fusion": ([f"{ENSEMBLE}/retrieval/fusion.py"], [f"{TESTS}/retrieval/test_fusion.py"]),
    "filters": ([f"{ENSEMBLE}/catalog/filters.py"], [f"{TESTS}/catalog/test_filters.py"]),
    "ordering": (
        [f"{ENSEMBLE}/ranking/order.py"],
        [f"{TESTS}/ranking/test_{name}.py" for name in ("order", "ranking", "adjustments", "diversity", "exploration")],
    ),
    "live_events": ([f"{ENSEMBLE}/interactions/live"], [f"{TESTS}/interactions/live"]),
    "live_catalog": ([f"{ENSEMBLE}/catalog/live"], [f"{TESTS}/catalog/live"]),
}
LEFT_OUT = "core/ReplaceBinaryOperator_BitOr"  # nearly all stand in annotations, which nothing evaluates
TIMEOUT = 300.0  # seconds of a change's tests


def main() -> None:
    """Tries changes of some parts, and writes `build/mutation/report.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts to try; all by default")
    parser.add_argument("--changes", type=int, default=100, help="of each part, drawn by chance")
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    path = BUILD / "report.json"
    report = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for part in options.parts or PARTS:
        report[part] = try_part(part, options.changes, options.seed)
        path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        killed, tried = report[part]["killed"], report[part]["tried"]
        sys.stdout.write(f"{part}: {killed} of {tried} changes noticed, {killed / tried:.0%}\n")
        for survivor in report[part]["survivors"]:
            sys.stdout.write(f"  survived: {survivor}\n")


def try_part(part: str, most: int, seed: int) -> dict[str, object]:
    """Tries changes of a part.

    Args:
        part: Its name in `PARTS`.
        most: How many changes, drawn by chance.
        seed: Of the draw.

    Returns:
        How many changes there are (`changes`), were `tried` and `killed`, and the `survivors`.
    """
    modules, tests = PARTS[part]
    tree, session, config = BUILD / part, BUILD / f"{part}.sqlite", BUILD / f"{part}.toml"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("ensemble", "tests"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", "*.log"))
    shutil.copyfile(ROOT / "pyproject.toml", tree / "pyproject.toml")
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider {' '.join(tests)}"
    settings = {
        "module-path": modules,
        "timeout": TIMEOUT,
        "excluded-modules": [],
        "test-command": command,
        "distributor": {"name": "local"},
    }
    config.write_text(tomlkit.dumps({"cosmic-ray": settings}), "utf-8")
    session.unlink(missing_ok=True)
    _cosmic_ray(tree, "init", str(config), str(session))
    changes, tried = _draw(session, most, seed)
    _cosmic_ray(tree, "baseline", str(config))
    _cosmic_ray(tree, "exec", str(config), str(session))
    with use_db(session) as database:
        items = {item.job_id: item.mutations[0] for item in database.work_items}
        outcomes = {job: result.test_outcome for job, result in database.results}
        survivors = [
            f"{items[job].module_path}:{items[job].start_pos[0]} {items[job].operator_name} {items[job].occurrence}"
            for job, outcome in outcomes.items()
            if outcome == TestOutcome.SURVIVED
        ]
    killed = sum(outcome == TestOutcome.KILLED for outcome in outcomes.values())
    return {"changes": changes, "tried": tried, "killed": killed, "survivors": sorted(survivors)}


def _draw(session: Path, most: int, seed: int) -> tuple[int, int]:
    """Marks all but some of a session's changes as skipped; returns how many there are, and how many are left."""
    with use_db(session) as database:
        items = [item for item in database.work_items if not item.mutations[0].operator_name.startswith(LEFT_OUT)]
        chosen = {item.job_id for item in random.Random(seed).sample(items, min(most, len(items)))}  # noqa: S311  a draw
        for item in database.work_items:
            if item.job_id not in chosen:
                database.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    return len(items), len(chosen)


def _cosmic_ray(tree: Path, *arguments: str) -> None:
    """Runs Cosmic Ray where the copied sources hide those that are installed."""
    sources = os.pathsep.join(filter(None, (str(tree / "ensemble"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": sources, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-m", "cosmic_ray.cli", *arguments], cwd=tree, env=environment, check=True)


if __name__ == "__main__":
    main()
