"""What the site does beyond MkDocs and its plugins: pages of two languages share anchors, and all scripts are local."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.site")  # below `mkdocs`, so that --strict counts its warnings

CHINESE = ".zh-CN.md"
MERMAID = "assets/javascripts/mermaid.min.js"
# A line that is nothing but a link to the same page in the other language: the site has a menu for it.
OTHER_LANGUAGE = re.compile(r"^\[(?:English|中文)\]\([\w./-]+\.md\)\n", re.M)
HEADING = re.compile(r"(#{1,6}) +(.+)")
LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")
STYLED = re.compile(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')\s]+)")
# Where the theme's script would fetch Mermaid, and what very old browsers lack.
CDN = re.compile(r"https://unpkg\.com/[\w@./-]*")


def headings(markdown: str) -> Iterator[tuple[int, str]]:
    """Yields line number and words of each heading that is not inside a block of code."""
    fenced = False
    for number, line in enumerate(markdown.splitlines()):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and (found := HEADING.fullmatch(line)):
            yield number, found[2]


def with_anchors_of(markdown: str, twin: str) -> str:
    """Gives each heading the anchor of its twin in the English page, beside its own.

    English pages link to anchors of English pages, and on the Chinese site such a link leads to the Chinese page.
    """
    from pymdownx.slugs import slugify  # noqa: PLC0415  the tests of the rest need no package of the site

    lines = markdown.splitlines()
    for (number, words), (_, english) in zip(headings(markdown), headings(twin), strict=True):
        marks = lines[number].partition(" ")[0]
        lines[number] = f'{marks} <a id="{slugify(case="lower")(english, "-")}"></a>{words}'
    return "\n".join(lines)


def foreign(text: str, kind: str) -> set[str]:
    """Returns what a file would have a browser load from elsewhere; `kind` is its suffix."""
    patterns = {".html": (LOADED, STYLED), ".css": (STYLED,), ".js": (CDN,)}
    return {found for pattern in patterns.get(kind, ()) for found in pattern.findall(text)}


def on_startup(**_: Any) -> None:
    """Called by MkDocs once: jieba, which the search splits Chinese words with, need not say that it loads."""
    import jieba  # noqa: PLC0415

    jieba.setLogLevel(logging.WARNING)


def on_files(files: Any, **_: Any) -> Any:
    """Called by MkDocs with all files: those that the site leaves out are none, so that a link to one is an error."""
    for file in list(files):
        if file.inclusion.is_excluded():
            files.remove(file)
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    path = Path(page.file.abs_src_path)
    if path.name.endswith(CHINESE):
        twin = path.with_name(path.name.removesuffix(CHINESE) + ".md")
        markdown = with_anchors_of(markdown, twin.read_text("utf-8"))
    # From left to right a diagram is wider than the column, and its words too small.
    return OTHER_LANGUAGE.sub("", markdown, count=1).replace("flowchart LR", "flowchart TB")


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs with each page as HTML: one that has a diagram loads Mermaid, from the site itself."""
    if 'class="mermaid"' not in output:
        return output
    from mkdocs.utils import get_relative_url  # noqa: PLC0415

    script = f'<script src="{get_relative_url(MERMAID, page.url)}"></script>'
    return output.replace("</body>", f"{script}</body>")


def on_post_build(*, config: Any, **_: Any) -> None:
    """Called by MkDocs at the end: adds Mermaid, and warns of each file that has something loaded from another host."""
    site = Path(config.site_dir)
    with resources.as_file(resources.files("mermaidx") / "assets" / "mermaid.js") as script:
        shutil.copyfile(script, site / MERMAID)
    for path in (site / "assets" / "javascripts").glob("bundle.*.js"):
        path.write_text(CDN.sub("", path.read_text("utf-8")), "utf-8")
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css", ".js"}:
            for address in sorted(foreign(path.read_text("utf-8"), path.suffix)):
                log.warning(
                    "%s: loads %s; only files of the site itself may be loaded", path.relative_to(site), address
                )
