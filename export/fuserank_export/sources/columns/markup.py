"""Takes HTML out of cells: what is read, embedded and searched is the text that a page would show."""

from __future__ import annotations

import html
import re
from typing import Any

from selectolax.lexbor import LexborHTMLParser

# Elements of pages; <5 cm, <vorbex> and the like are no markup.
_BLOCKS = (
    "address|article|aside|blockquote|body|br|caption|center|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|head|header|hr|html|li|main|nav|ol|option|p|pre|section|summary|table|tbody|td|tfoot|th|thead|title|tr|ul"
)
_INLINE = (
    "a|abbr|b|bdi|bdo|big|button|cite|code|del|dfn|em|embed|font|i|iframe|img|input|ins|kbd|label|link|mark|meta|noscript|"
    "object|picture|q|s|samp|script|select|small|source|span|strike|strong|style|sub|sup|svg|template|textarea|time|tt|u|"
    "var|video|wbr|[a-z]+:[a-z]+"
)
_NAME = rf"(?:{_BLOCKS}|{_INLINE})"
# A name alone, or one with attributes: "a<b then c>d" is none. The last form was cut off by a limit of length.
_TAG = re.compile(
    rf"<!--|<!doctype\s|</?{_NAME}\s*/?>|<{_NAME}\s+[\w:.@-]+\s*=[^<>]*(?:>|$)|<(?:input|option)\s[^<>]*>",
    re.IGNORECASE,
)
_CLOSING_TAG = re.compile(rf"</{_NAME}\s*>|<(?:br|hr|img)[\s/>]", re.IGNORECASE)
_BLOCK_EDGE = re.compile(rf"<(?=/?(?:{_BLOCKS})(?:[\s/>]))", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_UNSEEN = ["script", "style", "template", "noscript", "head"]


def strip_markup(text: str) -> str:
    """Returns the text that a page of this HTML shows, on one line; text without tags and entities as it is.

    A whole page that was escaped (`&lt;p&gt;…&lt;/p&gt;`) is read as a page. Elements of a line (`<b>L</b>i-ion`) do
    not split words, all others do.
    """
    if "<" not in text and "&" not in text:
        return text
    text = _CDATA.sub(r"\1", text)
    if not _TAG.search(text):
        unescaped = _decode_entities(text)
        if unescaped == text or not _CLOSING_TAG.search(unescaped):
            return unescaped
        text = unescaped
    return _decode_entities(_visible_text(text))


def strip_cell(value: Any) -> Any:
    """Returns a cell with the markup taken out of its text, or of the texts of its list; other values as they are."""
    if isinstance(value, str):
        return strip_markup(value)
    if isinstance(value, list):
        return [strip_cell(entry) for entry in value]
    return value


def _visible_text(page: str) -> str:
    tree = LexborHTMLParser(_BLOCK_EDGE.sub(" <", page))
    tree.strip_tags(_UNSEEN)
    return " ".join(tree.body.text().split()) if tree.body else ""


def _decode_entities(text: str) -> str:
    """Decodes entities that end in a semicolon, also those that were escaped twice; R&D and fish&chips stay."""
    for _ in range(2):
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return text
