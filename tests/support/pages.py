"""Markdown pages as a reader sees them: headings with their anchors, links, blocks of code, tables."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("docs", "k8s", "evaluation")
_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(REPOSITORY).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def tokens(self) -> list[Token]:
        return _PARSER.parse(self.text)

    @property
    def inlines(self) -> Iterator[Token]:
        """What stands within paragraphs, headings and cells."""
        return (child for token in self.tokens for child in token.children or ())

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and words of each heading."""
        return [
            (int(opened.tag[1]), inside.content)
            for opened, inside in pairwise(self.tokens)
            if opened.type == "heading_open"
        ]

    @property
    def anchors(self) -> set[str]:
        return {anchor(words) for _, words in self.headings}

    @property
    def links(self) -> list[str]:
        """Targets of links and images."""
        targets = [token.attrGet("href") or token.attrGet("src") for token in self.inlines]
        return [str(target) for target in targets if target]

    def fences(self, *languages: str) -> list[str]:
        """The blocks of code in one of the languages; "" for those that name none."""
        return [token.content for token in self.tokens if token.type == "fence" and token.info.strip() in languages]

    @property
    def spans(self) -> list[str]:
        """The code within lines."""
        return [token.content for token in self.inlines if token.type == "code_inline"]

    @property
    def words(self) -> str:
        """The text without code and link targets."""
        return "\n".join(token.content for token in self.inlines if token.type == "text")

    def table(self, head: str) -> list[list[str]]:
        """The body rows of the table whose first column has this head."""
        tables: list[list[list[str]]] = []
        for opened, inside in pairwise(self.tokens):
            match opened.type:
                case "table_open":
                    tables.append([])
                case "tr_open":
                    tables[-1].append([])
                case "th_open" | "td_open":
                    tables[-1][-1].append(inside.content)
        return next(rows for (first, *_), *rows in tables if first == head)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    kept = "".join(c for c in words if c in "-_ " or unicodedata.category(c)[0] in "LNM")
    return kept.replace(" ", "-")


def pages() -> list[Page]:
    """The READMEs and every page below `FOLDERS`."""
    below = [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).rglob("*.md"))]
    return [Page(path) for path in [*sorted(REPOSITORY.glob("*.md")), *below]]
