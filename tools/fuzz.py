"""Fuzzing, by chance or guided by coverage, and its figures: the part `fuzzing` of the report `reliability`.

By chance: Hypothesis draws cases of the tests named in `RANDOM`. Guided: inputs that reach new branches of the code are
kept and changed further, for each target of `tests/support/fuzz_targets.py` in a process of its own, since libFuzzer
ends it at the first fault. What it found stays in `build/fuzz/<target>`, where the next run goes on. Guided fuzzing
needs Atheris, see `make fuzz-guided`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
RANDOM = ("tests/unit/ensemble/contract/test_fuzz.py", "tests/unit/ensemble/graph/test_fuzz.py")
CODE = ["fuserank_ensemble", "fuserank_export.sources"]  # whose branches guide
SLOWEST = 20  # s that one input may take
MEMORY_MB = 4_096
WITHIN = "--within"  # a process that fuzzes one target, with arguments of libFuzzer
_CASES = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_BRANCHES = re.compile(r"cov: (\d+)")
_ARTIFACT = re.compile(r"Test unit written to (\S+)")
_PASSED = re.compile(r"(\d+) passed")
MEANINGS = {
    "fuzz_cases": "cases drawn by chance: options, events, changes, batches of up to five requests",
    "fuzz_minutes": "minutes that they took",
    "fuzz_guided_cases": "inputs that coverage guided, all targets",
    "fuzz_guided_faults": "targets with an input that showed a fault, in the last run of each",
}


def main() -> None:
    """Fuzzes, and exits 1 where a fault was found."""
    if sys.argv[1:2] == [WITHIN]:
        _fuzz(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__)
    ways = parser.add_subparsers(dest="way", required=True)
    random = ways.add_parser("random", help="cases drawn by chance")
    random.add_argument("--cases", type=int, default=50_000, help="of each test")
    guided = ways.add_parser("guided", help="inputs guided by coverage")
    guided.add_argument("targets", nargs="*", help="all by default")
    guided.add_argument("--seconds", type=int, default=120, help="of each target")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    if options.way == "random":
        sys.exit(draw_cases(options.cases))
    listed = subprocess.run([sys.executable, __file__, WITHIN, "list"], capture_output=True, text=True, check=True)
    names = listed.stdout.split()
    if unknown := set(options.targets) - set(names):
        guided.error(f"found {', '.join(sorted(unknown))}; allowed: {', '.join(names)}")
    sys.exit(1 if guide(options.targets or names, options.seconds) else 0)


def draw_cases(cases: int) -> int:
    """Runs the fuzzing tests with so many cases each; returns pytest's exit status."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", *RANDOM]
    environment = {**os.environ, "FUZZ_CASES": str(cases)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines = [line for line in running.stdout if sys.stdout.write(line)]
    passed = _PASSED.search("".join(lines))
    if running.returncode == 0 and passed is not None:
        _report({"fuzz_cases": int(passed[1]) * cases, "fuzz_minutes": round((time.monotonic() - started) / 60, 1)})
    return running.returncode


def guide(names: list[str], seconds: int) -> int:
    """Fuzzes targets for some seconds each; returns how many showed a fault."""
    path = BUILD / "guided.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in names:
        found[name] = _run(name, seconds)
        path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        cases, branches, fault = (found[name][part] for part in ("cases", "branches", "fault"))
        sys.stdout.write(f"{name}: {cases:,} cases, {branches:,} branches; {fault or 'no fault'}\n")
    faults = {name for name, of in found.items() if of["fault"]}
    _report({"fuzz_guided_cases": sum(of["cases"] for of in found.values()), "fuzz_guided_faults": len(faults)})
    return len(faults & set(names))


def _run(name: str, seconds: int) -> dict[str, Any]:
    """Fuzzes a target for some seconds.

    Returns:
        How many `cases` were run and `branches` reached, and the file of the input that showed a `fault`, else None.
    """
    folder = BUILD / name
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, __file__, WITHIN, name, f"-max_total_time={seconds}", f"-timeout={SLOWEST}",
        f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1", f"-artifact_prefix={folder}/", str(folder / "corpus"),
    ]  # fmt: skip
    log = folder / "log"
    with log.open("w") as output:
        ended = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    told = log.read_text("utf-8", "replace")
    artifact, cases = _ARTIFACT.search(told), _CASES.search(told)
    return {
        "cases": int(cases[1]) if cases else 0,
        "branches": max(map(int, _BRANCHES.findall(told)), default=0),
        "fault": (artifact[1] if artifact else str(log)) if ended else None,
    }


def _fuzz(name: str, more: list[str]) -> NoReturn:
    """Lists the targets, or hands one to libFuzzer, which ends the process."""
    import atheris  # noqa: PLC0415  the command itself needs none of it

    sys.path.insert(0, str(ROOT / "tests"))
    if name == "list":
        from support.fuzz_targets import TARGETS  # noqa: PLC0415

        sys.stdout.write("\n".join(TARGETS) + "\n")
        sys.exit()
    with atheris.instrument_imports(include=CODE):
        from support.fuzz_targets import TARGETS  # noqa: PLC0415
    target = TARGETS[name]
    corpus = Path(more[-1])
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [sys.argv[0], f"-max_len={target.most_bytes}"]
    if target.words:
        words = corpus.parent / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        arguments.append(f"-dict={words}")
    atheris.Setup([*arguments, *more], target.check)
    atheris.Fuzz()
    sys.exit()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def _report(figures: dict[str, float]) -> None:
    """Merges figures with those of other runs, and writes the part of the report."""
    from fuserank_evaluation.reports.report import merge_report  # noqa: PLC0415  libFuzzer's processes need none

    kept = BUILD / "figures.json"
    known = {**(json.loads(kept.read_text("utf-8")) if kept.exists() else {}), **figures}
    kept.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
    meanings = {name: told for name, told in MEANINGS.items() if name in known}
    sys.stdout.write(f"{merge_report('reliability', 'fuzzing', None, known, meanings, {})}\n")


if __name__ == "__main__":
    main()
