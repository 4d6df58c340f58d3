"""Coverage-guided fuzzing: inputs that reach new branches of the code are kept and changed further.

Runs each target of `tests/support/fuzz_targets.py` in a process of its own, since libFuzzer ends it at the first fault.
What it found stays in `build/fuzz/<target>`, where the next run goes on. Needs Atheris, see `make fuzz-guided`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
CODE = ["fuserank_ensemble", "fuserank_export.sources"]  # whose branches guide
SLOWEST = 20  # s that one input may take
MEMORY_MB = 4_096
WITHIN = "--within"  # a process that fuzzes one target, with arguments of libFuzzer
_CASES = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_BRANCHES = re.compile(r"cov: (\d+)")
_ARTIFACT = re.compile(r"Test unit written to (\S+)")


def main() -> None:
    """Fuzzes some targets, and exits 1 where a fault was found."""
    if sys.argv[1:2] == [WITHIN]:
        _fuzz(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="all by default")
    parser.add_argument("--seconds", type=int, default=120, help="of each target")
    options = parser.parse_args()
    listed = subprocess.run([sys.executable, __file__, WITHIN, "list"], capture_output=True, text=True, check=True)
    names = listed.stdout.split()
    if unknown := set(options.targets) - set(names):
        parser.error(f"found {', '.join(sorted(unknown))}; allowed: {', '.join(names)}")
    report_path = BUILD / "report.json"
    report = json.loads(report_path.read_text("utf-8")) if report_path.exists() else {}
    faults = 0
    for name in options.targets or names:
        report[name] = _run(name, options.seconds)
        report_path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        cases, fault = report[name]["cases"], report[name]["fault"]
        faults += fault is not None
        sys.stdout.write(f"{name}: {cases:,} cases, {report[name]['branches']:,} branches; {fault or 'no fault'}\n")
    sys.exit(1 if faults else 0)


def _run(name: str, seconds: int) -> dict[str, object]:
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
    artifact = _ARTIFACT.search(told)
    cases = _CASES.search(told)
    fault = (artifact[1] if artifact else str(log)) if ended else None
    branches = [int(count) for count in _BRANCHES.findall(told)]
    return {"cases": int(cases[1]) if cases else 0, "branches": max(branches, default=0), "fault": fault}


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


if __name__ == "__main__":
    main()
