"""Drafts the mapping of a file: what its layout knows, what its columns' names say, and what is left to be asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import msgspec
import pandas as pd

from fuserank_ensemble.contract.identity import clean_identity
from fuserank_ensemble.interactions.events import EVENT_NAMES
from fuserank_export.layouts.layout import Kind, Layout
from fuserank_export.layouts.mapping import FileMapping, LogMapping, find_name, fold
from fuserank_export.layouts.nested import join_pairs, root_column, take_column, unfold_rows
from fuserank_export.layouts.recognise import known_events, looks_like_a_row, recognise, recognise_headless
from fuserank_export.layouts.values import order_column, recognise_values, without_remark
from fuserank_export.sources import catalog, log_reader, users
from fuserank_export.sources.columns.cells import is_missing
from fuserank_export.sources.formats.delimited import RepeatedColumnError
from fuserank_export.sources.formats.parts import find_parts
from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.formats.text_format import FOUND, TextFormat
from fuserank_export.sources.report import InputError, RowReport

SAMPLE_ROWS = 20_000
REQUIRED: Mapping[Kind, Sequence[str]] = {
    "catalog": catalog.REQUIRED,
    "interactions": log_reader.REQUIRED,
    "users": users.REQUIRED,
}
OURS: Mapping[Kind, Sequence[str]] = {
    "catalog": catalog.COLUMNS,
    "interactions": log_reader.COLUMNS,
    "users": (*users.REQUIRED, users.SINCE),
}

# Names that a column has in files of no known layout; the first that a file has is taken.
COMMON_NAMES: Mapping[Kind, Mapping[str, Sequence[str]]] = {
    "catalog": {
        "item_id": ("item id", "product id", "article id", "id", "sku", "product sku", "article number", "item number",
                    "part number", "stock code", "asin", "handle", "item", "article", "product code", "code", "gtin",
                    "ean", "isbn", "upc", "商品id", "商品编号", "商品编码", "产品编号", "产品id", "货号", "编号"),
        "title": ("title", "product title", "item title", "product name", "item name", "article name", "prod name",
                  "name", "label", "商品名称", "商品标题", "产品名称", "商品名", "标题", "名称", "品名"),
        "description": ("description", "long description", "product description", "item description", "desc", "body",
                        "short description", "detail desc", "商品描述", "商品详情", "产品描述", "描述", "详情", "简介"),
        "category": ("category", "category path", "category name", "categories", "product category", "product type",
                     "product type name",
                     "category code", "department", "商品类目", "商品分类", "类目", "分类", "类别", "品类"),
        "brand": ("brand", "brand name", "manufacturer", "vendor", "maker", "品牌", "品牌名称", "厂商"),
        "price": ("price", "unit price", "current price", "regular price", "list price", "商品价格", "销售价", "售价",
                  "现价", "价格", "单价"),
        "in_stock": ("in stock", "available", "is in stock", "是否有货", "有货"),
        "created_at": ("created at", "created", "created on", "date added", "published at",
                       "上架时间", "上架日期", "创建时间"),
        "image_url": ("image url", "image link", "image", "img", "picture", "picture url", "image src",
                      "商品图片", "主图", "图片", "图片链接", "图片地址"),
    },
    "interactions": {
        "user_id": ("user id", "customer id", "customer user id", "visitor id", "member id", "shopper id", "client id",
                    "account id", "user", "customer",
                    "visitor", "用户id", "用户编号", "会员id", "会员编号", "买家id", "用户"),
        "item_id": ("item id", "product id", "article id", "sku", "product sku", "asin", "item", "product",
                    "article", "stock code", "商品id", "商品编号", "商品编码", "产品id", "货号", "商品"),
        "event": ("event", "event type", "event name", "action", "behavior", "behaviour", "behavior type",
                  "interaction", "interaction type", "type", "行为", "行为类型", "事件", "事件类型", "操作"),
        "timestamp": ("timestamp", "event time", "event timestamp", "time", "datetime", "occurred at", "created at",
                      "date", "unix time", "ts", "order date", "invoice date", "purchase date", "transaction date",
                      "时间", "时间戳", "行为时间", "下单时间", "发生时间", "日期"),
        "value": ("value", "rating", "amount", "score", "评分", "数值"),
        "query": ("query", "search term", "search query", "keyword", "搜索词", "查询", "关键词"),
        "session_id": ("session id", "user session", "visit id", "session", "会话id", "会话"),
    },
    "users": {
        "user_id": ("user id", "customer id", "visitor id", "member id", "shopper id", "client id", "account id",
                    "user", "customer", "visitor", "member", "id",
                    "用户id", "用户编号", "会员id", "会员编号", "用户", "会员"),
        "since": ("since", "member since", "customer since", "registered at", "signed up at", "created at",
                  "valid from", "updated at", "注册时间", "入会时间", "更新时间"),
    },
}  # fmt: skip

LAST_WORDS = ("title", "rating")  # words that say the same behind others, as in Book-Title


@dataclass(frozen=True)
class Draft:
    """What is known of a file.

    Attributes:
        path: The file.
        kind: Catalogue, log or users.
        layout: The known layout; None of another.
        columns: The file's columns.
        prepared: Its columns as the layout's reader makes them.
        mapping: What the columns become, as far as it is known.
        guessed: Our columns that were taken by the name of the file's column alone.
        by_values: Our columns that were taken by the values of the file's column alone.
        ordered: The column by which every row of a log is taken for a purchase; None of another log.
        missing: Our columns that are required and not known.
        unknown_events: Events of the log that no layout knows, and how often they are in the rows that were read.
        sampled: How many rows were read.
        item_ids: Ids of a catalogue in the rows that were read.
    """

    path: Path
    kind: Kind
    layout: Layout | None
    columns: list[str]
    prepared: list[str]
    mapping: FileMapping
    guessed: list[str] = field(default_factory=list)
    by_values: list[str] = field(default_factory=list)
    ordered: str | None = None
    missing: list[str] = field(default_factory=list)
    unknown_events: dict[str, int] = field(default_factory=dict)
    sampled: int = 0
    item_ids: frozenset[str] = frozenset()

    @property
    def has_own_names(self) -> bool:
        """Whether the file has our names for all that is required."""
        return self.layout is None and not self.mapping.columns and not self.missing

    @property
    def kept(self) -> list[str]:
        """The columns, those that the layout's reader makes included, that no other is made of and that are kept."""
        names = [name for ours in self.mapping.columns for name in self.mapping.names(ours)]
        used = {find_name(self.prepared, name.partition(".")[0]) for name in names}
        return [
            name for name in self.prepared if name not in used and name not in names and not self.mapping.ignores(name)
        ]


def draft_mapping(path: Path, kind: Kind, text: TextFormat = FOUND, item_ids: frozenset[str] = frozenset()) -> Draft:
    """Returns what is known of a file from its columns and first rows.

    Args:
        path: The file.
        kind: What it is.
        text: What is declared of how it is written.
        item_ids: Ids of the catalogue that a log is of.

    Raises:
        InputError: The file cannot be read, or is of another kind.
    """
    header: list[str] = []
    try:
        sample = _read_sample(path, text)
        first = [str(name) for name in sample.columns]
    except RepeatedColumnError as error:
        first = [*error.columns]
        if not looks_like_a_row(first):
            raise
    if looks_like_a_row(first) and not find_parts(path).typed:
        numbered = tuple(f"column_{place}" for place in range(1, len(first) + 1))
        sample = _read_sample(path, replace(text, header=numbered))
        header = list(recognise_headless(sample, kind) or numbered)
        sample.columns = pd.Index(header)
    columns = [str(name) for name in sample.columns]
    layout = recognise(columns, kind)
    other = recognise(columns)
    own = all(name in columns for name in REQUIRED[kind])
    if layout is None and other is not None and not own:
        remedy = (
            "name it first, as CATALOG" if other.kind == "catalog" else "name it with --events, behind the catalogue"
        )
        raise InputError(f"{path}: found {other.title}, which is no {_NAMES[kind]}; {remedy}")
    if own:
        layout = None
    draft = _draft_by_names(path, kind, sample) if layout is None else _draft_by_layout(path, layout, sample)
    if header:
        draft = replace(draft, mapping=msgspec.structs.replace(draft.mapping, header=header))
    if kind == "interactions":
        return _draft_events(draft if layout else _draft_by_values(draft, sample, item_ids), sample)
    return replace(draft, item_ids=_item_ids(draft, sample)) if kind == "catalog" else draft


_NAMES: Mapping[Kind, str] = {"catalog": "catalogue", "interactions": "log", "users": "file of users"}


def _read_sample(path: Path, text: TextFormat) -> pd.DataFrame:
    """Returns the first rows of a file, all of its columns."""
    report = RowReport(str(path))
    chunks = list(islice(read_rows(path, report, required=(), chunk_rows=SAMPLE_ROWS, text=text), 1))
    if not chunks:
        raise InputError(f"{path}: found no row that can be read; allowed: a file with columns and rows")
    return chunks[0]


def _draft_by_layout(path: Path, layout: Layout, sample: pd.DataFrame) -> Draft:
    """Returns a layout's mapping without what the file has not, in the file's own spelling."""
    prepared = _prepare_sample(layout, sample)
    columns = [str(name) for name in sample.columns]
    mapped: dict[str, str | list[str]] = {}
    # Objects of JSON leave out what they have not: the first rows do not say which fields the others have.
    complete = layout.mapping.rows is None
    for ours in layout.mapping.columns:
        if ours in layout.left_open:
            continue
        names = [name for name in layout.mapping.names(ours) if not complete or take_column(prepared, name) is not None]
        paths = [_spell(prepared, name) for name in names]
        if paths:
            mapped[ours] = paths[0] if len(paths) == 1 else paths
    lacking = [name for name in REQUIRED[layout.kind] if name not in mapped and find_name(columns, name) is None]
    if isinstance(layout.mapping, LogMapping) and layout.mapping.event is not None:
        lacking = [name for name in lacking if name != "event"]
    mapping = msgspec.structs.replace(
        layout.mapping,
        layout=layout.name if layout.prepare is not None else None,
        columns=mapped,
        pairs=[name for name in layout.mapping.pairs if root_column(sample, name) is not None],
        values={name: values for name, values in layout.mapping.values.items() if name in mapped},
        split={name: separator for name, separator in layout.mapping.split.items() if name in mapped},
        only={name: values for name, values in layout.mapping.only.items() if name in mapped},
        ignore=[name for name in columns if layout.mapping.ignores(name)],
    )
    made = [str(name) for name in prepared.columns]
    return Draft(path, layout.kind, layout, columns, made, mapping, missing=lacking, sampled=len(sample))


def _prepare_sample(layout: Layout, sample: pd.DataFrame) -> pd.DataFrame:
    """Returns the first rows as the mapping takes them: prepared, and with lists as rows."""
    if layout.prepare is not None:
        sample = next(layout.prepare(iter([sample])))
    return _unfold(layout.mapping, sample)


def _unfold(mapping: FileMapping, sample: pd.DataFrame) -> pd.DataFrame:
    sample = sample.copy()
    for name in mapping.pairs:
        if (root := root_column(sample, name)) is not None:
            sample[root] = join_pairs(sample[root])
    return sample if mapping.rows is None else unfold_rows(sample, mapping.rows)[0]


def _spell(sample: pd.DataFrame, path: str) -> str:
    """Returns a path with its column as the file spells it."""
    name = find_name(map(str, sample.columns), path)
    if name is not None:
        return name
    root = root_column(sample, path)
    return path if root is None else root + path[len(root) :]


def _draft_by_names(path: Path, kind: Kind, sample: pd.DataFrame) -> Draft:
    """Returns the mapping of a file of no known layout: columns whose names say what they are."""
    columns = [str(name) for name in sample.columns]
    own = [name for name in OURS[kind] if name in columns]
    mapped: dict[str, str | list[str]] = {}
    if "price" in own and kind == "catalog":
        # An amount with its currency is an object in JSON.
        parts = [f"price.{part}" for part in ("amount", "value", "price", "current")]
        if held := [part for part in parts if take_column(sample, part) is not None]:
            mapped["price"] = held[0]
    free = [name for name in columns if name not in own]
    for ours, names in COMMON_NAMES[kind].items():
        found = next((name for wanted in names if (name := _find_column(free, wanted)) is not None), None)
        if ours not in own and found is not None:
            mapped[ours] = found
            free.remove(found)
    if kind == "catalog" and "title" not in own and "title" not in mapped and "description" in mapped:
        mapped = {"title": mapped.pop("description"), **mapped}  # of files with one text, it is the name
    has_event = "event" in own or "event" in mapped
    event = "rating" if not has_event and fold(str(mapped.get("value"))).endswith("rating") else None
    lacking = [name for name in REQUIRED[kind] if name not in own and name not in mapped]
    if kind != "interactions":
        mapping = FileMapping(columns=mapped)
    else:
        mapping = LogMapping(columns=mapped, event=event)
        lacking = [name for name in lacking if name != "event" or event is None]
    return Draft(path, kind, None, columns, columns, mapping, guessed=list(mapped), missing=lacking)


def _find_column(columns: Sequence[str], wanted: str) -> str | None:
    """Returns the column of a name; else the one that has it but for a remark in brackets, or behind another word."""
    if (name := find_name(columns, wanted)) is not None:
        return name
    remarked = [name for name in columns if fold(without_remark(name)) == fold(wanted)]
    if not remarked and wanted in LAST_WORDS:
        remarked = [name for name in columns if re.search(rf"[\W_]{wanted}$", name, re.IGNORECASE)]
    return remarked[0] if len(remarked) == 1 else None


def _draft_by_values(draft: Draft, sample: pd.DataFrame, item_ids: frozenset[str]) -> Draft:
    """Returns the draft of a log of no known layout with what its values say of the columns that are missing."""
    mapping = draft.mapping
    assert isinstance(mapping, LogMapping)
    columns: dict[str, str | list[str]] = {**mapping.columns}
    taken = [name for ours in (*columns, *OURS[draft.kind]) for name in mapping.names(ours)]
    found = recognise_values(sample, draft.missing, taken, item_ids)
    missing = [name for name in draft.missing if name not in found]
    ordered = order_column(sample) if "event" in missing else None
    if ordered is not None:
        missing.remove("event")
    mapping = msgspec.structs.replace(
        mapping, columns={**columns, **found}, event=mapping.event if ordered is None else "purchase"
    )
    return replace(draft, mapping=mapping, by_values=list(found), ordered=ordered, missing=missing)


def _item_ids(draft: Draft, sample: pd.DataFrame) -> frozenset[str]:
    """Returns the ids of a catalogue's first rows, as a log names them."""
    names = draft.mapping.names("item_id")
    column = next((found for name in names if (found := take_column(sample, name)) is not None), None)
    return frozenset() if column is None else frozenset(clean_identity(str(value)) for value in column)


def _draft_events(draft: Draft, sample: pd.DataFrame) -> Draft:
    """Returns a log's draft with the events that its first rows name: those that are known, and the others."""
    mapping = draft.mapping
    assert isinstance(mapping, LogMapping)
    names = mapping.names("event")
    column = next((found for name in names if (found := take_column(sample, name)) is not None), None)
    if column is None:
        return draft
    counts = Counter(str(value).strip() for value in column if not is_missing(value))
    known = known_events(draft.layout)
    own = {fold(name) for name in EVENT_NAMES}
    mapped = dict(mapping.events)
    unknown: dict[str, int] = {}
    for name, count in counts.most_common():
        if fold(name) in own or fold(name) in {fold(event) for event in mapped}:
            continue
        if draft.layout is None and fold(name) in known:
            mapped[name] = known[fold(name)]
        else:
            unknown[name] = count
    mapping = msgspec.structs.replace(mapping, events=mapped)
    return replace(draft, mapping=mapping, unknown_events=unknown, sampled=len(sample))
