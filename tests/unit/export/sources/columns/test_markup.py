"""HTML is taken out of cells as a browser would show them, and what only looks like it stays."""

from __future__ import annotations

import pytest

from fuserank_export.sources.columns.markup import strip_markup


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Soft <em>cotton</em></p><ul><li>Warm</li><li>Light</li></ul>", "Soft cotton Warm Light"),
        ("<b>N</b>eoprene", "Neoprene"),
        ("one<br>two<BR/>three", "one two three"),
        ('<div class="x">Tea &amp; cake&nbsp;set</div>', "Tea & cake set"),
        ("<style>p{color:red}</style><p>Red</p><script>alert(1)</script>", "Red"),
        ("<!-- note -->Plain", "Plain"),
        ("&lt;p&gt;A &lt;b&gt;bold&lt;/b&gt; rug&lt;/p&gt;", "A bold rug"),
        ("Salt &amp;amp; pepper &#8211; caf&eacute;", "Salt & pepper – café"),
        ("<![CDATA[<p>Feed</p>]]>", "Feed"),
        ("<table><tr><td>Width</td><td>4 cm</td></tr></table>", "Width 4 cm"),
        ('<p>Cut off</p><a href="https://sho', "Cut off"),
        ("<p>the &lt;table&gt; element</p>", "the <table> element"),
    ],
)
def test_the_text_that_a_page_shows_is_left(html, text):
    assert strip_markup(html) == text


@pytest.mark.parametrize(
    "text",
    [
        "Size <5 and >3",
        "R&D kit",
        "fish&chips",
        "I <3 tea",
        "if a<b then c>d",
        "<zorp> brand",
        "3 < 4 > 2",
        "Q&A; more",
        "",
    ],
)
def test_text_that_is_no_markup_stays_as_it_is(text):
    assert strip_markup(text) == text
