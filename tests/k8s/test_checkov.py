"""Nothing in what the chart renders is what checkov warns of, but for what k8s/checkov.yaml gives reasons for.

checkov pins many packages, so it has an environment of its own: `pipx install checkov`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.chart_values import BASES
from support.charts import LEAST, REPOSITORY, VALUES, files, merged, values_of

CONFIG = REPOSITORY / "k8s" / "checkov.yaml"


@pytest.mark.skipif(shutil.which("checkov") is None, reason="checkov is not installed (pipx install checkov)")
def test_checkov_finds_nothing_that_has_no_reason(tmp_path: Path):
    sets = {**{name: values_of(name) for name in VALUES}, **BASES}
    for number, values in enumerate(sets.values()):
        (tmp_path / str(number)).mkdir()
        for name, text in files(merged(LEAST, values)).items():
            if name.endswith(".yaml"):
                (tmp_path / str(number) / name.replace("/", "-")).write_text(text, "utf-8")
    command = ["checkov", "--config-file", str(CONFIG), "--directory", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
