"""A TCP proxy that can be slow, go silent, or hang up."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from support.running import free_ports


class TcpProxy:
    """Forwards to a port of 127.0.0.1; `delay` seconds are added to each answer, and `silent` lets none through."""

    def __init__(self, target: int) -> None:
        self.target, (self.port,) = target, free_ports(1)
        self.delay, self.silent = 0.0, False
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.listen()

    def listen(self) -> None:
        """Takes connections, also after `hang_up`."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def hang_up(self) -> None:
        """Ends all connections and refuses others."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _hang_up(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, there_writer}
        await asyncio.gather(
            self._pump(reader, there_writer, answers=False), self._pump(there_reader, writer, answers=True)
        )

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if answers:
                    await asyncio.sleep(self.delay)
                    while self.silent:
                        await asyncio.sleep(0.01)
                writer.write(data)
                await writer.drain()
        writer.close()
