"""Recognises the layout of a file by its columns, and the words in which a message offers to map them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence

import pandas as pd

from fuserank_export.layouts.known import LAYOUTS
from fuserank_export.layouts.layout import Kind, Layout
from fuserank_export.layouts.mapping import LogMapping, fold

# Names of events in logs of no known layout; those of the known layouts are joined to them.
COMMON_EVENTS = {
    "product_view": "view", "viewed": "view", "view_product": "view", "detail": "view", "pv": "view",
    "clicked": "click", "clicks": "click", "product_click": "click", "fav": "favourite", "favorite": "favourite",
    "wishlist": "favourite", "like": "favourite", "liked": "favourite", "thumbs_up": "favourite", "shared": "share",
    "returned": "return", "refund": "return", "refunded": "return", "disliked": "dislike", "thumbs_down": "dislike",
    "hidden": "hide", "not_interested": "hide",
    "add_to_basket": "cart", "added_to_cart": "cart", "basket": "cart", "add": "cart",
    "buy": "purchase", "bought": "purchase", "purchased": "purchase", "order": "purchase", "checkout": "purchase",
    "sale": "purchase", "rate": "rating", "rated": "rating", "review": "rating", "impressions": "impression",
    "shown": "impression",
    "曝光": "impression", "展示": "impression", "浏览": "view", "查看": "view", "点击": "click", "加购": "cart",
    "加入购物车": "cart", "购买": "purchase", "下单": "purchase", "支付": "purchase", "成交": "purchase",
    "收藏": "favourite", "分享": "share", "评分": "rating", "评价": "rating", "退货": "return", "退款": "return",
}  # fmt: skip


def recognise(columns: Collection[str], kind: Kind | None = None) -> Layout | None:
    """Returns the known layout of a file; of several, the one that knows most of its columns.

    Args:
        columns: The names of the file's columns.
        kind: Look among catalogues or among logs only; None looks among all.
    """
    held = [
        layout for layout in LAYOUTS if (kind is None or layout.kind == kind) and layout.signature(columns)
    ]  # fmt: skip
    return max(
        held, key=lambda layout: (len(layout.signature(columns)), layout.count_known(columns)), default=None
    )  # fmt: skip


def recognise_headless(rows: pd.DataFrame, kind: Kind) -> tuple[str, ...]:
    """Returns the names of the columns of a file of a known layout that has no header; none of another file.

    Args:
        rows: Its first rows, cells of text.
        kind: Catalogue, log or users.
    """
    fitting = [
        headless.header
        for layout in LAYOUTS
        if layout.kind == kind
        for headless in layout.headless
        if headless.fits(rows)
    ]
    return fitting[0] if fitting else ()


def looks_like_a_row(cells: Sequence[str]) -> bool:
    """Returns whether the first line of a file is a row and no header.

    More than a third of its cells are numbers, or the first is, or one is an address.
    """
    if any("://" in cell for cell in cells):
        return True
    numbers = [cell.replace(".", "", 1).isdecimal() for cell in cells]
    return bool(numbers) and (numbers[0] or 3 * sum(numbers) > len(numbers))


def known_events(first: Layout | None = None) -> dict[str, str]:
    """Returns our name of each event that a known layout or a common log has, by its folded name.

    Args:
        first: The layout whose names count before those of others.
    """
    names = {fold(name): ours for name, ours in COMMON_EVENTS.items()}
    for layout in (*LAYOUTS, *([first] if first else [])):
        if isinstance(layout.mapping, LogMapping):
            names |= {fold(name): ours for name, ours in layout.mapping.events.items()}
    return names


def offer_mapping(file: str, columns: Collection[str], required: Collection[str]) -> str:
    """Returns the end of a message about missing columns: the command that maps those that there are."""
    layout = recognise(columns)
    looks = f"It looks like {layout.title}" if layout else "Or leave the file as it is"
    command = init_command(file, layout.kind if layout else kind_of(required))
    return f" {looks}: `{command}` writes a file that maps its columns, for `export bundle --config`."


def kind_of(required: Collection[str]) -> Kind:
    """Returns which of the shop's files has these columns."""
    return "interactions" if "timestamp" in required else "catalog" if "title" in required else "users"


def offer_events(file: str, events: Iterable[str]) -> str:
    """Returns the end of a message about events of other names: whose they are, and the command that maps them."""
    distinct = set(events)
    shared: dict[str, tuple[int, int]] = {}  # how many of the events each layout has, as written and otherwise
    for layout in LAYOUTS:
        if isinstance(layout.mapping, LogMapping):
            names = layout.mapping.events
            folded = {fold(name) for name in names}
            shared[layout.title] = (len(distinct & set(names)), sum(fold(event) in folded for event in distinct))
    title = max(shared, key=lambda name: shared[name])
    named = f" The events are named as in {title}:" if any(shared[title]) else " Where they have other names:"
    return f"{named} `{init_command(file, 'interactions')}` writes a file that maps them, for `export bundle --config`."


def init_command(file: str, kind: Kind) -> str:
    """Returns the command that writes a TOML file for a file."""
    quoted = shlex.quote(file)
    if kind == "catalog":
        return f"fuserank export init {quoted}"
    return f"fuserank export init CATALOG --{'events' if kind == 'interactions' else kind} {quoted}"
