"""What the locks name is listed with its licence, and one that is not allowed ends `make audit`."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
RULES = {"allowed": ["MIT", "BSD-3-Clause"], "read": {"read-by-hand": "MIT"}, "exceptions": {"odd": "GPL-3.0: a test"}}


@pytest.fixture(scope="module")
def audit():
    pytest.importorskip("license_expression", reason="`make audit` installs it")
    spec = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_has_the_version_of_each_package_of_the_lock():
    # With a marker it may be of another Python than this one.
    lock = (REQUIREMENTS / "dev.lock").read_text("utf-8")
    locked = set(re.findall(r"^([a-z0-9.-]+)==([^ ]+) \\$", lock, re.MULTILINE))
    listed = set(re.findall(r"^\| (\S+) \| (\S+) \|", (ROOT / "docs" / "licences.md").read_text("utf-8"), re.MULTILINE))
    assert len(locked) > 150
    assert locked - listed == set(), "run: make audit"


def test_each_file_of_each_lock_has_a_hash():
    for lock in REQUIREMENTS.glob("*.lock"):
        packages = re.split(r"\n(?=[a-z0-9])", lock.read_text("utf-8"))[1:]
        assert packages
        assert [each.splitlines()[0] for each in packages if "--hash=sha256:" not in each] == [], lock.name


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT AND BSD-3-Clause", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only AND (MIT OR BSD-3-Clause)", False),
        ("License :: Other/Proprietary License", False),
        ("Apache-2.0 WITH LLVM-exception", False),
    ],
)
def test_of_several_licences_all_count_and_of_a_choice_one(audit, licence, allowed):
    assert audit.is_allowed(licence, RULES["allowed"]) is allowed


def test_a_licence_that_is_not_allowed_or_missing_is_named(audit):
    licences = {
        "good": ["MIT"],
        "bad": ["AGPL-3.0-only"],
        "silent": [],
        "odd": ["GPL-3.0-only"],
        "read-by-hand": ["MIT"],
    }
    faults = list(audit.licence_faults(licences, RULES))
    assert [fault.partition(":")[0] for fault in faults] == ["bad", "silent"]
    assert "found the licence AGPL-3.0-only" in faults[0]
    del licences["odd"]
    assert "exceptions: odd is in no lock; leave it out" in list(audit.licence_faults(licences, RULES))


ANSWER = (
    '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]},'
    ' {"name": "b", "skip_reason": "not found"}, {"name": "c", "version": "3", "vulns": []}]}'
)


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (ANSWER, (["a 1: PYSEC-1, mended in 2"], 2)),
        ("", ([], 0)),
        ("Traceback", ([], 0)),
    ],
)
def test_a_vulnerability_is_told_from_nobody_having_answered(audit, monkeypatch, printed, found):
    monkeypatch.setattr(audit.subprocess, "run", lambda *words, **more: SimpleNamespace(stdout=printed))
    assert audit.ask({"a": "1", "b": "2", "c": "3"}) == found


def test_a_known_vulnerability_ends_with_an_error_and_silence_does_not(audit, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(audit, "bill_of_materials", lambda packages: {"components": []})
    monkeypatch.setattr(audit, "LIST", tmp_path / "licences.md")
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    monkeypatch.setattr(audit, "BILL", tmp_path / "build" / "sbom.cdx.json")
    monkeypatch.setattr(audit, "licence_faults", lambda licences, rules: iter(()))
    monkeypatch.setattr(audit, "ask", lambda packages: ([], 0))
    assert audit.main() == 0
    assert "are NOT audited" in capsys.readouterr().out
    monkeypatch.setattr(audit, "ask", lambda packages: (["a 1: PYSEC-1, mended in 2"], len(packages)))
    assert audit.main() == 1
    assert "error: a 1: PYSEC-1" in capsys.readouterr().err
