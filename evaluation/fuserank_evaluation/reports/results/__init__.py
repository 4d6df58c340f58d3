"""The tables of `docs/results.md`, whose figures come from the committed reports."""

from __future__ import annotations

from collections.abc import Mapping

from fuserank_evaluation.reports.results.live import LIVE
from fuserank_evaluation.reports.results.quality import QUALITY
from fuserank_evaluation.reports.results.scale import SCALE
from fuserank_evaluation.reports.results.serving import SERVING

# By name. Each line: what is measured, ours, what it is compared with; braces name figures.
RESULTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {**SERVING, **QUALITY, **SCALE, **LIVE}
