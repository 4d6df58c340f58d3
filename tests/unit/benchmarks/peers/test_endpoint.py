"""The endpoint runs in the peers' environments, where FuseRank is not installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from fuserank_benchmarks.peers import endpoint
from fuserank_benchmarks.peers.peer import PACKAGES

FOLDER = Path(endpoint.__file__).parent


def test_endpoint_modules_import_only_each_other_and_libraries() -> None:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
                names = [node.module or ""]
            assert not any(name.startswith("fuserank") for name in names), path


def test_the_endpoint_is_importable_by_its_last_name_alone() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGES)!r}); import endpoint.fusion, endpoint.models; "
        "print([name for name in sys.modules if name.startswith('fuserank')])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
