"""Product feeds in RSS and Atom are read by their elements' names; entities of their own are refused."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.report import InputError, RowReport

NAMESPACE = 'xmlns:g="http://base.google.com/ns/1.0"'
RSS = f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" {NAMESPACE}><channel><title>A shop</title><link>https://shop.example</link>
{{products}}</channel></rss>"""
ATOM = f'<feed xmlns="http://www.w3.org/2005/Atom" {NAMESPACE}><title>A shop</title>{{products}}</feed>'
PRODUCT = """<g:id>{n}</g:id><g:title><![CDATA[Mug <b>{n}</b>]]></g:title><description>A &amp; B</description>
<g:price>1{n}.50 EUR</g:price><g:additional_image_link>a</g:additional_image_link>
<g:additional_image_link>b</g:additional_image_link><g:additional_image_link>c</g:additional_image_link>
<g:shipping><g:country>DE</g:country><g:price>4 EUR</g:price></g:shipping>"""


def read(path, **settings):
    report = RowReport(str(path))
    return pd.concat(read_rows(path, report, required=["id"], **settings)), report


def feed(kind, count=3):
    row, link = ("entry", '<link href="https://x/{n}"/>') if kind is ATOM else ("item", "<link>https://x/{n}</link>")
    products = "".join(f"<{row}>{(PRODUCT + link).format(n=n)}</{row}>" for n in range(count))
    return kind.format(products=products)


@pytest.mark.parametrize("kind", [RSS, ATOM], ids=["rss", "atom"])
@pytest.mark.parametrize("name", ["feed.xml", "feed.xml.gz"])
def test_a_product_is_a_row_of_its_elements(write_text, kind, name):
    content = feed(kind).encode()
    frame, report = read(write_text(gzip.compress(content) if name.endswith(".gz") else content, name), chunk_rows=2)
    assert frame["id"].tolist() == ["0", "1", "2"]
    first = frame.iloc[0].to_dict()
    assert first["title"] == "Mug <b>0</b>"
    assert first["description"] == "A & B"
    assert first["link"] == "https://x/0"
    assert first["additional_image_link"] == ["a", "b", "c"]
    assert first["shipping"] == {"country": "DE", "price": "4 EUR"}
    assert frame.index.tolist() == [1, 2, 3]
    assert report.read == 3


def test_another_encoding_is_read_as_the_file_says(write_text):
    content = (
        feed(RSS).replace("A shop", "Büro").replace("Mug", "Größe").replace("UTF-8", "ISO-8859-1").encode("latin-1")
    )
    assert read(write_text(content, "x.xml"))[0]["title"].iloc[0] == "Größe <b>0</b>"


REFUSED = {
    "an entity": ('<!DOCTYPE r [<!ENTITY a "b">]><rss><item><id>&a;</id></item></rss>', "the entity 'a' declared"),
    "a file of this machine": (
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><rss><item><id>&a;</id></item></rss>',
        "the entity 'a' declared",
    ),
    "no feed": ("<shop><offer><id>1</id></offer></shop>", "found no product in <shop>; allowed: a feed in RSS or Atom"),
    "cut off": ("<rss><item><id>1</id>", "cannot be read as XML: no element found.*allowed: a feed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_feed_is_refused(write_text, name):
    content, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        read(write_text(content, "x.xml"))
