"""`fuserank evaluate quote`: copies the reports that the READMEs quote, and writes their figures into the READMEs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuserank_evaluation.reports.report import REPORTS

COMMITTED = Path("docs/reports")
# Of a figure that several reports name, the last report's value is quoted.
QUOTED = ("bench", "retrieval", "relevance", "replica", "demo")
NOT_MEASURED = ("not measured", "未测量")
START, END = "<!-- figures -->", "<!-- /figures -->"
# Each line: English, Chinese, value; braces name figures of the reports.
LINES = (
    ("Catalogue", "商品目录", "{items:,} items, {texts:,} distinct texts", "{items:,} 件商品，{texts:,} 条不同文本"),
    (
        "ONNX against torch, FP32",
        "ONNX 与 torch 的差（FP32）",
        "{encoder_max_abs_diff_fp32:.1e} at most",
        "最大 {encoder_max_abs_diff_fp32:.1e}",
    ),
    ("Start to first answer", "启动到首次应答", "{start_seconds:.1f} s", "{start_seconds:.1f} 秒"),
    (
        "Query and user, one request at a time",
        "查询加用户，逐个请求",
        "p50 {p50_ms_c1} ms, p99 {p99_ms_c1} ms",
        "p50 {p50_ms_c1} ms，p99 {p99_ms_c1} ms",
    ),
    (
        "… of which encoder and ranker alone",
        "其中编码器和排序模型本身",
        "{raw_model_ms} ms; all the rest {overhead_ms} ms",
        "{raw_model_ms} ms；其余全部 {overhead_ms} ms",
    ),
    (
        "Sixteen callers at once, client on the same cores",
        "16 个并发调用者，客户端在同一机器",
        "{requests_per_second_c16} requests/s, {batches_formed} requests an execution",
        "{requests_per_second_c16} 请求/秒，每次执行 {batches_formed} 个请求",
    ),
    (
        "nDCG@10 on later purchases, query and user",
        "对之后购买的 nDCG@10，查询加用户",
        "ranker {ranker_ndcg_at_10_both:.3f}, fusion alone {fusion_ndcg_at_10_both:.3f}",
        "排序模型 {ranker_ndcg_at_10_both:.3f}，仅融合 {fusion_ndcg_at_10_both:.3f}",
    ),
    (
        "Groceries: recall of the fused candidates, 3,000 later purchases by query and user",
        "超市：融合候选的召回率（3,000 个之后的购买，查询加用户）",
        "{grocery_recall_at_50_fused:.3f} at 50, {grocery_recall_at_200_fused:.3f} at 200",
        "前 50 为 {grocery_recall_at_50_fused:.3f}，前 200 为 {grocery_recall_at_200_fused:.3f}",
    ),
    (
        "Films: human judgements, queries not tuned on",
        "电影：人工标注，未用于调参的查询",
        "nDCG@10 {movies_ndcg_at_10_fused:.3f}, recall@100 {movies_recall_at_100_fused:.3f}",
        "nDCG@10 {movies_ndcg_at_10_fused:.3f}，recall@100 {movies_recall_at_100_fused:.3f}",
    ),
    (
        "Groceries ranked: searches of a household that then buys, nDCG@10",
        "超市排序：家庭搜索后购买，nDCG@10",
        "ranker {grocery_search_ndcg_at_10:.3f}, LambdaMART on its features "
        "{grocery_search_ndcg_at_10_baseline_lightgbm:.3f}, fusion {grocery_search_ndcg_at_10_baseline_rrf:.3f}, "
        "BM25 {grocery_search_ndcg_at_10_baseline_bm25:.3f}",
        "排序模型 {grocery_search_ndcg_at_10:.3f}，同特征 LambdaMART "
        "{grocery_search_ndcg_at_10_baseline_lightgbm:.3f}，融合 {grocery_search_ndcg_at_10_baseline_rrf:.3f}，"
        "BM25 {grocery_search_ndcg_at_10_baseline_bm25:.3f}",
    ),
    (
        "… recommended: all that it then buys",
        "…推荐：其后购买的全部商品",
        "ranker {grocery_rec_ndcg_at_10:.3f}, LambdaMART {grocery_rec_ndcg_at_10_baseline_lightgbm:.3f}, "
        "TIFU-KNN {grocery_rec_ndcg_at_10_baseline_tifu_knn:.3f}",
        "排序模型 {grocery_rec_ndcg_at_10:.3f}，LambdaMART {grocery_rec_ndcg_at_10_baseline_lightgbm:.3f}，"
        "TIFU-KNN {grocery_rec_ndcg_at_10_baseline_tifu_knn:.3f}",
    ),
    (
        "… recommended: only what is new to it",
        "…推荐：仅该家庭从未买过的商品",
        "ranker {grocery_rec_new_ndcg_at_10:.3f}, LambdaMART {grocery_rec_new_ndcg_at_10_baseline_lightgbm:.3f}, "
        "UP-CF {grocery_rec_new_ndcg_at_10_baseline_up_cf:.3f}",
        "排序模型 {grocery_rec_new_ndcg_at_10:.3f}，LambdaMART {grocery_rec_new_ndcg_at_10_baseline_lightgbm:.3f}，"
        "UP-CF {grocery_rec_new_ndcg_at_10_baseline_up_cf:.3f}",
    ),
    (
        "Films ranked with a fine-tuned text tower, {movies_held_out_queries:,.0f} held-out queries, nDCG@10",
        "电影排序（微调文本塔，{movies_held_out_queries:,.0f} 条留出查询），nDCG@10",
        "ranker {movies_ndcg_at_10_ranker:.3f}, with the catalogue's numbers {movies_ndcg_at_10:.3f}, fusion "
        "{movies_ndcg_at_10_baseline_rrf:.3f}",
        "排序模型 {movies_ndcg_at_10_ranker:.3f}，加商品目录数值 {movies_ndcg_at_10:.3f}，融合 "
        "{movies_ndcg_at_10_baseline_rrf:.3f}",
    ),
    (
        "Chinese shop, lexical channel",
        "中文商店，词法通道",
        "nDCG@10 {chinese_ndcg_at_10_lexical:.3f}",
        "nDCG@10 {chinese_ndcg_at_10_lexical:.3f}",
    ),
    (
        "The retrieve stage at 92,331 items, query and user",
        "92,331 件商品时的召回阶段，查询加用户",
        "p50 {retrieve_p50_ms_92k} ms alone, {retrieve_ms_per_request_batch16_92k} ms each in batches of 16",
        "单个 p50 {retrieve_p50_ms_92k} ms，16 个一批时每个 {retrieve_ms_per_request_batch16_92k} ms",
    ),
    (
        "Dense search of a million vectors, one thread",
        "一百万个向量的稠密检索，单线程",
        "recall@100 {dense_recall_at_100_1m:.3f} at {dense_speedup_vs_exact_1m:.0f} times exact search's throughput, "
        "{dense_bytes_per_item_1m:.0f} bytes an item",
        "recall@100 {dense_recall_at_100_1m:.3f}，吞吐为精确检索的 {dense_speedup_vs_exact_1m:.0f} 倍，"
        "每件 {dense_bytes_per_item_1m:.0f} 字节",
    ),
    (
        "Search only, against the better peer in the same run",
        "仅搜索，与同一次运行中较快的方案相比",
        "{plain_throughput:.0f} requests/s, {search_only_vs_peer} times its ({search_only_vs_peer_low} to "
        "{search_only_vs_peer_high})",
        "{plain_throughput:.0f} 请求/秒，为其 {search_only_vs_peer} 倍（{search_only_vs_peer_low} 至 "
        "{search_only_vs_peer_high}）",
    ),
    (
        "… with a text tower that reads 16 pairs",
        "…加上读 16 对文本的文本塔",
        "{tower_throughput:.0f} requests/s, {throughput_vs_peer} times its ({throughput_vs_peer_low} to "
        "{throughput_vs_peer_high}); p50 {p50_vs_peer} of its",
        "{tower_throughput:.0f} 请求/秒，为其 {throughput_vs_peer} 倍（{throughput_vs_peer_low} 至 "
        "{throughput_vs_peer_high}）；p50 为其 {p50_vs_peer}",
    ),
    (
        "… where queries repeat as in web search logs",
        "…查询像网页搜索日志那样重复时",
        "{zipf_tower_throughput:.0f} requests/s, {throughput_vs_peer_zipf} times its ({throughput_vs_peer_zipf_low} to "
        "{throughput_vs_peer_zipf_high}); p50 {p50_vs_peer_zipf} of its",
        "{zipf_tower_throughput:.0f} 请求/秒，为其 {throughput_vs_peer_zipf} 倍（{throughput_vs_peer_zipf_low} 至 "
        "{throughput_vs_peer_zipf_high}）；p50 为其 {p50_vs_peer_zipf}",
    ),
    (
        "… with a tower of one layer instead of three, taught by it",
        "…改用由其教出的单层文本塔（原为三层）",
        "{shallow_throughput:.0f} requests/s, {throughput_vs_peer_shallow} times its; p50 {p50_vs_peer_shallow} of its",
        "{shallow_throughput:.0f} 请求/秒，为其 {throughput_vs_peer_shallow} 倍；p50 为其 {p50_vs_peer_shallow}",
    ),
    (
        "… of what the engines do bare, at saturation",
        "…饱和时占裸引擎吞吐的比例",
        "{ceiling_ratio} ({ceiling_ratio_low} to {ceiling_ratio_high})",
        "{ceiling_ratio}（{ceiling_ratio_low} 至 {ceiling_ratio_high}）",
    ),
)


@dataclass(frozen=True)
class NotMeasured:
    """Stands in for a figure without a value, in any format that a line asks for."""

    words: str

    def __format__(self, spec: str) -> str:
        """The words."""
        return self.words


def figure_table(figures: Mapping[str, Any], language: int) -> str:
    """The table of a README.

    Args:
        figures: What the reports hold; None where a figure was not measured.
        language: 0 for English, 1 for Chinese.
    """
    known = {name: NotMeasured(NOT_MEASURED[language]) if value is None else value for name, value in figures.items()}
    machine = figures["machine"]
    about = (f"{machine['cores']} shared cores of {machine['cpu']}", f"{machine['cpu']} 的 {machine['cores']} 个共享核")
    rows = [f"| {line[language].format(**known)} | {line[2 + language].format(**known)} |" for line in LINES]
    return "\n".join([f"| {about[language]} | |", "|---|---|", *rows])


def quote_reports() -> None:
    """Copies the last reports to `docs/reports`, and writes their figures between the marks of both READMEs."""
    COMMITTED.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for name in QUOTED:
        for path in REPORTS.glob(f"{name}*"):
            shutil.copy(path, COMMITTED / path.name)
        figures |= json.loads((COMMITTED / f"{name}.json").read_text("utf-8"))
    for language, readme in enumerate((Path("README.md"), Path("README.zh-CN.md"))):
        before, rest = readme.read_text("utf-8").split(START)
        after = rest.split(END)[1]
        readme.write_text(f"{before}{START}\n{figure_table(figures, language)}\n{END}{after}", "utf-8")
