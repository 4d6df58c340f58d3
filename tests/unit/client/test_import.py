"""Importing the package costs next to nothing: what speaks gRPC is imported with the first client."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("grpc", "numpy", "tritonclient", "google", "typer", "rich", "pandas", "asyncio", "ssl")


def imported_by(code):
    """The modules that some code brings into a bare interpreter."""
    script = (
        f"import json, sys\nbefore = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_package_and_its_types_import_few_modules():
    modules = imported_by("import fuserank; fuserank.Request, fuserank.SearchResult, fuserank.Rule")
    assert "fuserank.types" in modules
    assert not {module.partition(".")[0] for module in modules} & set(HEAVY)
    assert len(modules) < 40


def test_the_blocking_client_brings_no_asyncio_client():
    modules = imported_by("import fuserank; fuserank.Client")
    assert "fuserank.client" in modules
    assert "fuserank.aio" not in modules
    assert not {"typer", "rich", "pandas"} & set(modules)
