"""The known layouts. A new one is a file in this folder and a line in `LAYOUTS`."""

from __future__ import annotations

from fuserank_ensemble.contract.errors import nearest
from fuserank_export.errors import ExportError
from fuserank_export.layouts.known import (
    amazon,
    elasticsearch,
    ga4,
    google_merchant,
    magento,
    movielens,
    retailrocket,
    segment,
    shopify,
    shopify_json,
    woocommerce,
)
from fuserank_export.layouts.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    *shopify.LAYOUTS,
    *shopify_json.LAYOUTS,
    *woocommerce.LAYOUTS,
    *magento.LAYOUTS,
    *google_merchant.LAYOUTS,
    *ga4.LAYOUTS,
    *segment.LAYOUTS,
    *retailrocket.LAYOUTS,
    *amazon.LAYOUTS,
    *elasticsearch.LAYOUTS,
    *movielens.LAYOUTS,
)


def find_layout(name: str) -> Layout:
    """Returns a known layout by its name.

    Raises:
        ExportError: There is none of this name; the message names the nearest.
    """
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise ExportError(f"layout: found {name!r}; allowed: {nearest(name, [layout.name for layout in LAYOUTS])}")
