"""Our spans beside Triton's, where a collector is named by OpenTelemetry's own environment variables.

Triton traces every model of the graph with its queue; ours say what happened inside a stage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
Attributes = dict[str, str | int | bool | list[str]]


class _Told(msgspec.Struct):
    """What a reply's STATUS says of itself, of `search` and of `similar`."""

    bundle: str
    degraded: list[str]
    candidates: dict[str, int]
    returned: int


_STATUS = msgspec.json.Decoder(_Told)


@cache
def tracer() -> Tracer | None:
    """This process's tracer; none where no collector is named."""
    if not os.environ.get(ENDPOINT):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  only if traced
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("fuserank")


def record(stage: str, carrier: Mapping[str, str], started_ns: int, ended_ns: int, attributes: Attributes) -> None:
    """Writes one span under the one that Triton has opened for the request.

    Args:
        stage: Whose work it was.
        carrier: The request's trace context as Triton hands it on: `traceparent` and the like.
        started_ns: Nanoseconds since 1970.
        ended_ns: Likewise.
        attributes: What happened; nothing that was asked.
    """
    own = tracer()
    if own is None:
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  only if traced

    parent = TraceContextTextMapPropagator().extract(carrier)
    own.start_span(f"{stage}.execute", parent, start_time=started_ns, attributes=attributes).end(ended_ns)


def status_attributes(status: bytes) -> Attributes:
    """The attributes of a reply, from its STATUS; an invalid one is none of ours and has none."""
    try:
        found = _STATUS.decode(status)
    except msgspec.DecodeError:
        return {}
    counts: Attributes = {f"fuserank.candidates.{channel}": count for channel, count in found.candidates.items()}
    return counts | {
        "fuserank.bundle": found.bundle,
        "fuserank.degraded": found.degraded,
        "fuserank.returned": found.returned,
    }
