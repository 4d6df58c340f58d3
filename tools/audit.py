"""Writes the bill of materials of what the locks name, lists and checks its licences, and asks for vulnerabilities.

`make audit` runs it in the environment of `make test`, with what `requirements/audit.lock` adds. The bill of materials
is build/sbom.cdx.json (CycloneDX), the list is docs/licences.md. It exits 1 where a licence is not one of
requirements/licences.toml or a vulnerability is known; where nobody answers who would know, it says so and goes on.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from license_expression import AND, OR, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
BILL = ROOT / "build" / "sbom.cdx.json"
RULES = "requirements/licences.toml"
LIST = ROOT / "docs" / "licences.md"
# What is in the images of k8s/Dockerfile, as its pip commands name it.
IMAGES = {"server": ("serve", "gpu", "redis"), "engines": ("export", "redis"), "ingest": ("ingest",)}
LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
HEADER = """# Licences

What `requirements/dev.lock` names, with the licence that each package declares, and the images of `k8s/Dockerfile` that
have it. Written by `make audit`; which licences are allowed, and what was read by hand: `requirements/licences.toml`.
The images' own systems (NVIDIA's Triton and TensorRT, Debian) and the CUDA packages of torch for GPUs are not listed.

| package | version | licence | images |
|---|---|---|---|
"""


def locked(*locks: Path) -> dict[str, str]:
    """Returns the versions of what locks name, by the packages' normal names."""
    found = (match for lock in locks for match in LINE.findall(lock.read_text("utf-8")))
    return {canonicalize_name(name): version for name, version in found}


def bill_of_materials(packages: Mapping[str, str]) -> dict[str, Any]:
    """Returns what of this environment the locks name, as CycloneDX."""
    # Its own validation takes a minute.
    words = [
        "environment",
        "--no-validate",
        "--pyproject",
        str(ROOT / "pyproject.toml"),
        "--output-reproducible",
        "--of",
        "JSON",
    ]
    command = [str(Path(sys.executable).with_name("cyclonedx-py")), *words, sys.executable]
    bill: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    kept = [each for each in bill["components"] if canonicalize_name(each["name"]) in packages]
    known = {each["bom-ref"] for each in kept} | {bill["metadata"]["component"]["bom-ref"]}
    edges = [each for each in bill["dependencies"] if each["ref"] in known]
    for edge in edges:
        if "dependsOn" in edge:
            edge["dependsOn"] = [ref for ref in edge["dependsOn"] if ref in known]
    return bill | {"components": kept, "dependencies": edges}


def declared(component: Mapping[str, Any]) -> list[str]:
    """Returns the licences that a component declares; all of them hold."""
    found = component.get("licenses", [])
    return [each.get("expression") or each["license"].get("id") or each["license"]["name"] for each in found]


def is_allowed(licence: str, allowed: Iterable[str]) -> bool:
    """Whether one licence, or an SPDX expression of several, is among those that are allowed."""
    allowed = {*allowed}
    if licence in allowed:
        return True
    if licence.startswith("License ::"):
        return False
    return _holds(get_spdx_licensing().parse(licence), allowed)


def _holds(expression: Any, allowed: set[str]) -> bool:
    if isinstance(expression, AND):
        return all(_holds(each, allowed) for each in expression.args)
    if isinstance(expression, OR):
        return any(_holds(each, allowed) for each in expression.args)
    return str(expression) in allowed


def licence_faults(licences: Mapping[str, Sequence[str]], rules: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with packages' licences, and which rules name a package that is not there."""
    for name, found in licences.items():
        if name in rules["exceptions"]:
            continue
        if not found:
            yield f"{name}: its metadata has no licence; read its files, and add it to [read] of {RULES}"
        for licence in found:
            if not is_allowed(licence, rules["allowed"]):
                yield f"{name}: found the licence {licence}; allowed: those of {RULES}, or an exception with its reason"
    for table in ("read", "exceptions"):
        yield from (f"{table}: {name} is in no lock; leave it out" for name in rules[table] if name not in licences)


def image_packages(extras: Sequence[str]) -> set[str]:
    """Returns the packages that some of the project's extras bring, with what these need, as installed here."""
    found: set[str] = set()
    queue = [("fuserank", frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while queue:
        name, wanted = queue.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        for need in map(Requirement, needs):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                child = canonicalize_name(need.name)
                found.add(child)
                queue.append((child, frozenset(need.extras)))
    return found - {"fuserank"}


def list_licences(packages: Mapping[str, str], licences: Mapping[str, Sequence[str]]) -> str:
    """Returns the list as Markdown."""
    images = {image: image_packages(extras) for image, extras in IMAGES.items()}
    rows = []
    for name in sorted(licences):
        holding = ", ".join(image for image, held in images.items() if name in held)
        licence = "; ".join(found.removeprefix("License :: OSI Approved :: ") for found in licences[name])
        rows.append(f"| {name} | {packages[name]} | {licence} | {holding} |\n")
    return HEADER + "".join(rows)


def ask(packages: Mapping[str, str]) -> tuple[list[str], int]:
    """Asks PyPI, by pip-audit, for known vulnerabilities.

    Returns:
        A line for each vulnerability, and how many packages somebody answered for.
    """
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "lock.txt"
        lock.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()))
        words = ["-r", str(lock), "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
        command = [str(Path(sys.executable).with_name("pip-audit")), *words, "--timeout", "10"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except ValueError:  # it could not reach the service
        return [], 0
    answered = [each for each in answers if "skip_reason" not in each]
    return [
        f"{each['name']} {each['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no version'}"
        for each in answered
        for fault in each["vulns"]
    ], len(answered)


def say(line: str) -> None:
    """Prints a line."""
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Runs the checks; returns the exit status."""
    locks = sorted(REQUIREMENTS.glob("*.lock"))
    torch = REQUIREMENTS / "torch.txt"
    packages = locked(REQUIREMENTS / "dev.lock", torch)
    bill = bill_of_materials(packages)
    BILL.parent.mkdir(exist_ok=True)
    BILL.write_text(json.dumps(bill, indent=1) + "\n")
    rules = tomllib.loads((REQUIREMENTS / "licences.toml").read_text("utf-8"))
    found = {canonicalize_name(each["name"]): declared(each) for each in bill["components"]}
    licences = {name: [rules["read"][name]] if name in rules["read"] else each for name, each in found.items()}
    LIST.write_text(list_licences(packages, licences), "utf-8")
    faults = list(licence_faults(licences, rules))
    say(f"{BILL.relative_to(ROOT)}: {len(licences)} packages; {LIST.relative_to(ROOT)}: their licences")
    everything = locked(*locks, torch)
    # One package first: where nobody knows of it, a minute's questions would bring nothing.
    first = {"packaging": everything["packaging"]}
    answered = ask(first)[1]
    vulnerable, answered = ask(everything) if answered else ([], 0)
    if answered < len(everything):
        say(
            f"vulnerabilities: PyPI answered for {answered} of {len(everything)} packages; the others are NOT audited: "
            "run `make audit` where PyPI itself can be reached"
        )
    else:
        say(f"vulnerabilities: {len(vulnerable)} known in {len(everything)} packages of {len(locks)} locks")
    for fault in (*faults, *vulnerable):
        sys.stderr.write(f"error: {fault}\n")
    return 1 if faults or vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
