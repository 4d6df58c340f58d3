"""The table of peers that the READMEs and `docs/results.md` quote from the committed reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Texts = tuple[str, str]  # English and Chinese
SEARCHES: Texts = ("nDCG@10: searches · recommendations", "nDCG@10：搜索 · 推荐")
RECOMMENDATIONS: Texts = ("nDCG@10: recommendations", "nDCG@10：推荐")
RATES: Texts = ("requests/s · p50", "每秒请求数 · p50")
RATES_AND_SEARCHES: Texts = ("requests/s · p50 · nDCG@10: searches", "每秒请求数 · p50 · nDCG@10：搜索")
MILLISECONDS: Texts = (" ms", " 毫秒")


@dataclass(frozen=True)
class Comparison:
    """One figure of ours beside a peer's, both by their names in the reports.

    Attributes:
        ours: Name of our figure.
        theirs: Name of the peer's.
        form: How both are formatted.
        unit: Stands behind both.
        more_is_better: Whether the larger one wins.
        paired: Prefix of the paired difference with its 95 % interval; without one the ratio is shown.
    """

    ours: str
    theirs: str
    form: str = ".0f"
    unit: Texts = ("", "")
    more_is_better: bool = True
    paired: str = ""

    def cells(self, figures: Mapping[str, Any], language: int) -> tuple[str, str, str]:
        """Our figure, the peer's, and how far apart they are; the better one is bold.

        Args:
            figures: What the reports hold; a `NotMeasured` is shown as it is and compared with nothing.
            language: 0 for English, 1 for Chinese.
        """
        ours, theirs = figures[self.ours], figures[self.theirs]
        shown = [f"{value:{self.form}}{self.unit[language]}" for value in (ours, theirs)]
        if not all(isinstance(value, int | float) for value in (ours, theirs)):
            return shown[0], shown[1], "–"
        if ours != theirs:
            best = 0 if (ours > theirs) == self.more_is_better else 1
            shown[best] = f"**{shown[best]}**"
        return shown[0], shown[1], self._distance(figures, language, ours, theirs)

    def _distance(self, figures: Mapping[str, Any], language: int, ours: float, theirs: float) -> str:
        if self.form.endswith("3f"):
            if not self.paired:
                return f"{ours - theirs:+.3f}"
            interval = "{low:+.3f} to {high:+.3f}", "{low:+.3f} 至 {high:+.3f}"
            low, high = (figures[f"{self.paired}_{end}"] for end in ("low", "high"))
            between = interval[language].format(low=low, high=high)
            return f"{figures[f'{self.paired}_difference']:+.3f} ({between})"
        return f"{ours / theirs:.2g}×"


@dataclass(frozen=True)
class PeerRow:
    """One peer of the READMEs' table."""

    peer: Texts
    measured: Texts
    comparisons: tuple[Comparison, ...]


def _speed(ours: str, theirs: str) -> tuple[Comparison, ...]:
    """Requests a second at saturation, and the p50 of one request at a time."""
    return (
        Comparison(f"{ours}_throughput", f"{theirs}_throughput"),
        Comparison(f"{ours}_p50_ms", f"{theirs}_p50_ms", ".1f", MILLISECONDS, more_is_better=False),
    )


def _ranked(case: str, baseline: str, paired: bool = False) -> Comparison:
    """nDCG@10 of the ranker and of a baseline on the same cases."""
    name = f"{case}_ndcg_at_10"
    return Comparison(name, f"{name}_baseline_{baseline}", ".3f", paired=f"{name}_over_{baseline}" if paired else "")


PEER_ROWS = (
    PeerRow(
        ("Infinity + FAISS behind FastAPI", "Infinity + FAISS（FastAPI 服务）"),
        (f"{RATES[0]}, a cross-encoder reads 16 pairs", f"{RATES[1]}（交叉编码器重排 16 对文本）"),
        _speed("tower", "infinity_16"),
    ),
    PeerRow(
        ("the same stages, called one by one over gRPC", "同样的各个阶段，由客户端经 gRPC 逐个调用"),
        (f"{RATES[0]}, a cross-encoder reads 16 pairs", f"{RATES[1]}（交叉编码器重排 16 对文本）"),
        _speed("tower", "staged_16"),
    ),
    PeerRow(
        ("sentence-transformers + FAISS, one process", "sentence-transformers + FAISS（单进程）"),
        (f"{RATES[0]}, no cross-encoder", f"{RATES[1]}（无交叉编码器）"),
        _speed("plain", "sbert_0"),
    ),
    PeerRow(
        (
            "LanceDB hybrid, history and LightGBM in the caller",
            "LanceDB 混合检索（历史特征与 LightGBM 重排由调用方完成）",
        ),
        RATES_AND_SEARCHES,
        (
            *_speed("hybrid", "hybrid_peer"),
            Comparison(
                "hybrid_search_ndcg_at_10",
                "hybrid_peer_search_ndcg_at_10",
                ".3f",
                paired="hybrid_search_ndcg_at_10",
            ),
        ),
    ),
    PeerRow(
        ("LightGBM LambdaMART, the same features", "LightGBM LambdaMART（同样的特征）"),
        SEARCHES,
        (_ranked("grocery_search", "lightgbm", paired=True), _ranked("grocery_rec", "lightgbm", paired=True)),
    ),
    PeerRow(("TIFU-KNN", "TIFU-KNN"), RECOMMENDATIONS, (_ranked("grocery_rec", "tifu_knn"),)),
)
PEER_HEAD = (
    ("peer", "measured", "FuseRank", "peer", "FuseRank against it"),
    ("对比对象", "指标", "FuseRank", "对方", "FuseRank 与之相比"),
)
