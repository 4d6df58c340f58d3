"""A gRPC server that stands in for Triton: it answers after a while, and refuses what is beyond its capacity."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

METHOD = "/inference.GRPCInferenceService/ModelInfer"


class StandIn(grpc.GenericRpcHandler):
    """Works on `places` requests at a time, `seconds` each, and refuses the others.

    Attributes:
        most: How many it had at once.
        bodies: What it was asked.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self._places, self._seconds, self._now = places, seconds, 0
        self.most, self.bodies = 0, set[bytes]()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self._answer) if details.method == METHOD else None

    async def _answer(self, body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.bodies.add(body)
        if self._now >= self._places:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self._now -= 1
        return b""


@contextmanager
def standing_in(places: int, seconds: float) -> Iterator[tuple[str, StandIn]]:
    """Runs the stand-in on a thread of its own; yields its address and itself."""
    handler, ready, loop = StandIn(places, seconds), threading.Event(), asyncio.new_event_loop()
    address: list[str] = []

    async def serve() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((handler,))
        address.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop(None)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield address[0], handler
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
