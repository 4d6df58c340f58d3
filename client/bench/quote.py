"""`make reports`: copies the reports that the READMEs quote, and puts their figures in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from report import REPORTS

COMMITTED = Path("docs/reports")
START, END = "<!-- figures -->", "<!-- /figures -->"
# Each line: English, Chinese, value; braces name figures of build/reports/demo.json.
LINES = (
    ("Catalogue", "商品目录", "{items:,} items, {texts:,} distinct texts", "{items:,} 件商品，{texts:,} 条不同文本"),
    (
        "Export, from files to bundle",
        "导出（从文件到 bundle）",
        "{export_seconds:.0f} s, embedding {embed_texts_per_second:.0f} texts/s",
        "{export_seconds:.0f} 秒，每秒嵌入 {embed_texts_per_second:.0f} 条文本",
    ),
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
        "{requests_per_second_c16} requests/s, {batches_formed} requests an encoder run",
        "{requests_per_second_c16} 请求/秒，编码器每次执行 {batches_formed} 个请求",
    ),
    (
        "nDCG@10 on later purchases, query and user",
        "对之后购买的 nDCG@10，查询加用户",
        "ranker {ranker_ndcg_at_10_both:.3f}, fusion alone {fusion_ndcg_at_10_both:.3f}",
        "排序模型 {ranker_ndcg_at_10_both:.3f}，仅融合 {fusion_ndcg_at_10_both:.3f}",
    ),
)


def main() -> None:
    """Copies and quotes."""
    COMMITTED.mkdir(parents=True, exist_ok=True)
    for path in REPORTS.glob("demo*"):
        shutil.copy(path, COMMITTED / path.name)
    figures = json.loads((COMMITTED / "demo.json").read_text("utf-8"))
    machine = figures["machine"]
    about = (f"{machine['cores']} shared cores of {machine['cpu']}", f"{machine['cpu']} 的 {machine['cores']} 个共享核")
    for language, readme in enumerate((Path("README.md"), Path("README.zh-CN.md"))):
        rows = [f"| {line[language]} | {line[2 + language].format(**figures)} |" for line in LINES]
        table = "\n".join([f"| {about[language]} | |", "|---|---|", *rows])
        before, rest = readme.read_text("utf-8").split(START)
        after = rest.split(END)[1]
        readme.write_text(f"{before}{START}\n{table}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
