"""The site has every page and every public name, and has a browser load nothing from another host."""

from __future__ import annotations

import importlib.util
import re

import pytest

import fuserank
from support.pages import REPOSITORY, Page

SPEC = importlib.util.spec_from_file_location("site_hooks", REPOSITORY / "tools" / "site_hooks.py")
assert SPEC is not None
assert SPEC.loader is not None
site_hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site_hooks)


@pytest.mark.parametrize(
    "loading",
    [
        '<script src="https://cdn.example/a.js">',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        "<img alt='' src='http://pictures.example/a.png'>",
        "<style>@font-face{src:url(https://fonts.example/a.woff2)}</style>",
    ],
)
def test_what_another_host_would_be_asked_for_is_found(loading):
    assert len(site_hooks.foreign(f"<p>text</p>{loading}", ".html")) == 1


def test_links_and_own_files_are_not_foreign():
    page = '<a href="https://vespa.ai">x</a><script src="../a.js"></script><img src="data:image/png;base64,AA">'
    assert not site_hooks.foreign(page, ".html")


def test_headings_are_found_outside_of_blocks_of_code():
    page = "# One\n\n```\n# a comment\n```\n\n## Two\n"
    assert list(site_hooks.headings(page)) == [(0, "One"), (6, "Two")]


def test_a_chinese_heading_gets_the_anchor_of_its_english_twin():
    pytest.importorskip("pymdownx", reason="the site's packages come with `make docs`")
    page = site_hooks.with_anchors_of("# 概念\n\n## 融合\n", "# Concepts\n\n## Fusion joins\n")
    assert page == '# <a id="concepts"></a>概念\n\n## <a id="fusion-joins"></a>融合'


def test_the_link_to_the_other_language_is_left_to_the_sites_menu():
    kept = "[English](README.md) is a link within a line.\n"
    assert site_hooks.OTHER_LANGUAGE.sub("", f"# A\n\n[中文](README.zh-CN.md)\n\n{kept}") == f"# A\n\n\n{kept}"


def test_the_menu_of_the_site_lists_every_page_but_decisions_and_reports():
    listed = re.findall(r"^ +- [^:]+: (\S+\.md)$", (REPOSITORY / "mkdocs.yml").read_text("utf-8"), re.M)
    pages = {*REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("k8s/*.md"), *REPOSITORY.glob("[A-Z]*.md")}
    english = {path.relative_to(REPOSITORY).as_posix() for path in pages if ".zh-CN" not in path.name}
    assert english <= set(listed)


def test_the_reference_has_every_name_that_the_client_exports():
    shown = re.findall(r"^::: fuserank\.(\w+)$", Page(REPOSITORY / "docs" / "reference.md").text, re.M)
    assert sorted(shown) == sorted(fuserank.__all__)
