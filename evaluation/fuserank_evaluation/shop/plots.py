"""Plots of the page, as SVG text that takes its ink from the page: dark on light, light on dark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # draws to files: no display is needed
import matplotlib.pyplot as plt
import numpy as np

from fuserank_evaluation.metrics.significance import half_width
from fuserank_evaluation.ranking.results import MAIN
from fuserank_evaluation.shop.methods import METHODS, PRODUCT
from fuserank_evaluation.shop.requests import RequestSet

SIZE = 3.7, 2.9  # inches: a plot is as wide as a phone, and the page lays several side by side
_INK = "#010203"  # stands for the page's ink, and for no other colour
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fuserank",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color"), _INK),
}


def plot_methods(requests: RequestSet) -> str:
    """Bars of nDCG@10 of every method with 95 % intervals."""
    ordered = sorted(requests.values, key=requests.mean)
    with mpl.rc_context(STYLE):
        plot, axes = plt.subplots(figsize=SIZE)
        axes.barh(
            [METHODS[method].label for method in ordered],
            [requests.mean(method) for method in ordered],
            xerr=[half_width(requests.values[method][MAIN]) for method in ordered],
            color=[METHODS[method].colour for method in ordered],
            ecolor=_INK,
            capsize=2,
        )
        axes.set_xlim(left=0)
        return _svg(plot)


def plot_windows(requests: RequestSet) -> str:
    """Lines of nDCG@10 of every method over the windows of time, the latest at the right."""
    windows, by_method = by_window(requests)
    with mpl.rc_context(STYLE):
        plot, axes = plt.subplots(figsize=SIZE)
        for method, means in by_method.items():
            width = 2.5 if method == PRODUCT else 1.2
            axes.plot(windows, means, marker="o", markersize=4, linewidth=width, color=METHODS[method].colour)
        axes.set_xticks(windows, [window_name(window) for window in windows])
        axes.invert_xaxis()
        axes.set_ylim(bottom=0)
        return _svg(plot)


def window_name(window: int) -> str:
    """What a window is called, by its number."""
    return f"{window} back" if window else "latest"


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
    plot.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(plot)
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
