"""Segment's e-commerce events: raw calls as JSON lines, and flat tables of them.

The events are those of https://segment.com/docs/connections/spec/ecommerce/v2/.
"""

from __future__ import annotations

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import LogMapping

EVENTS = {
    "Product Viewed": "view",
    "Product Clicked": "click",
    "Product Added to Wishlist": "favourite",
    "Product Shared": "share",
    "Product Added": "cart",
    "Order Completed": "purchase",
    "Order Refunded": "return",
    "Product List Viewed": "impression",
    "Product Reviewed": "rating",
}
POSITION = "the list must count from 1"

LAYOUTS = (
    Layout(
        name="segment",
        title="Segment's calls",
        kind="interactions",
        signatures=(("event", "properties", "anonymousId"), ("event", "properties", "userId"), ("event", "properties")),
        mapping=LogMapping(
            rows="properties.products",
            columns={
                "user_id": ["userId", "anonymousId"],
                "item_id": [
                    "properties.products.product_id",
                    "properties.products.sku",
                    "properties.product_id",
                    "properties.sku",
                ],
                "event": "event",
                "timestamp": ["timestamp", "originalTimestamp", "sentAt", "receivedAt"],
                "query": "properties.query",
                "value": ["properties.rating", "properties.products.price", "properties.price"],
                "position": ["properties.products.position", "properties.position"],
                "region": "context.location.region",
                "device": "context.device.type",
                "session_id": "context.sessionId",
            },
            events=EVENTS,
            other_events="ignore",
        ),
        explained="each of a call's products is a row; calls without products, such as page and identify, are left out",
        comments={"item_id": "whichever of them names the catalogue's items"},
        left_open={"position": POSITION},
    ),
    Layout(
        name="segment-flat",
        title="a table of Segment's events in a warehouse",
        kind="interactions",
        signatures=(
            ("event", "anonymous_id", "product_id"),
            ("event", "event_text", "product_id"),
            ("event", "anonymous_id", "received_at"),
        ),
        mapping=LogMapping(
            columns={
                "user_id": ["user_id", "anonymous_id"],
                "item_id": ["product_id", "sku"],
                "event": "event",
                "timestamp": ["timestamp", "original_timestamp", "sent_at", "received_at"],
                "query": "query",
                "value": ["rating", "price"],
                "position": "position",
            },
            events=EVENTS,
            other_events="ignore",
        ),
        explained="events of no product are left out",
        left_open={"position": POSITION},
    ),
)
