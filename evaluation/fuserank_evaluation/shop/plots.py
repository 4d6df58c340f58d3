"""Plots of the page, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # draws to files: no display is needed
import matplotlib.pyplot as plt
import numpy as np

from fuserank_evaluation.metrics.significance import half_width
from fuserank_evaluation.ranking.results import MAIN
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.requests import RequestSet

OURS, OTHERS = "#d9730d", "#8a94a6"


def plot_methods(sets: Mapping[str, RequestSet], captions: Mapping[str, str]) -> str:
    """Bars of nDCG@10 of every method with 95 % intervals, a panel for each set."""
    plot, panels = plt.subplots(1, len(sets), figsize=(3.6 * len(sets), 3.2), squeeze=False)
    for (name, requests), panel in zip(sets.items(), panels[0], strict=True):
        ordered = sorted(requests.values, key=requests.mean)
        panel.barh(
            ordered,
            [requests.mean(method) for method in ordered],
            xerr=[half_width(requests.values[method][MAIN]) for method in ordered],
            color=[OURS if method == PRODUCT else OTHERS for method in ordered],
            capsize=2,
        )
        panel.set_title(captions[name], fontsize=9)
        panel.set_xlabel("nDCG@10")
    return _svg(plot)


def plot_windows(sets: Mapping[str, RequestSet], captions: Mapping[str, str]) -> str:
    """Lines of nDCG@10 of every method over the windows of time, the latest at the right."""
    plot, panels = plt.subplots(1, len(sets), figsize=(3.6 * len(sets), 3.0), squeeze=False)
    for (name, requests), panel in zip(sets.items(), panels[0], strict=True):
        windows, by_method = by_window(requests)
        for method, means in by_method.items():
            is_ours = method == PRODUCT
            panel.plot(
                windows, means, marker="o", label=method, linewidth=2.5 if is_ours else 1,
                color=OURS if is_ours else None,
            )  # fmt: skip
        panel.set_title(captions[name], fontsize=9)
        panel.set_xticks(windows, ["latest" if window == 0 else f"{window} back" for window in windows])
        panel.invert_xaxis()
    panels[0][-1].legend(fontsize=7)
    return _svg(plot)


def by_window(requests: RequestSet) -> tuple[list[int], dict[str, Sequence[float]]]:
    """The windows' numbers, and each method's nDCG@10 in each."""
    at = np.asarray(requests.windows)
    windows = sorted(set(requests.windows))
    return windows, {
        method: [float(values[MAIN][at == window].mean()) for window in windows]
        for method, values in requests.values.items()
    }


def _svg(plot: Any) -> str:
    """A figure as an SVG element without declarations; its texts stay texts, in the reader's font."""
    plot.tight_layout()
    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fuserank"}):
        plot.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(plot)
    text = stream.getvalue()
    return text[text.index("<svg") :]
