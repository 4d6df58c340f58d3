"""The same check runs before anything is installed: bare interpreter, standard library alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuserank_ensemble.serving import prerequisites

FILE = Path(prerequisites.__file__)


def test_a_bare_interpreter_runs_the_file_and_finds_this_machine_sound():
    # -S: without site-packages; -I: without the file's folder, whose modules have names of their own.
    done = subprocess.run([sys.executable, "-I", "-S", str(FILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_part_ends_the_command_with_one_line(monkeypatch):
    monkeypatch.setattr(prerequisites, "libpython_folder", lambda: None)
    with pytest.raises(SystemExit, match=r"^error: libpython3\.\d+\.so\.1\.0: not found"):
        prerequisites.main()


def test_a_python_without_venv_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(prerequisites, "libpython_folder", Path)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match=r"apt-get install python3\.\d+-venv"):
        prerequisites.main()
