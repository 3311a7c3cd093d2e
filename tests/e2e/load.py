"""Clients that keep a proxy busy from a thread of their own and note every request that was not answered."""

import asyncio
import contextlib
import ssl
import threading
from typing import Self

from tests import windows
from tests.e2e.conftest import Proxyd

_DEADLINE = windows.patience(30.0)
_REST = windows.patience(0.03)  # seconds


class Load:
    """``connections`` clients ask for ``path``, again and again until the ``with`` block ends.

    Each rests a while after an answer, so that what is done under this load gets its share of the machine.
    With ``keep_alive`` each holds its connection for as long as the proxy lets it, else one each time.
    A connection that ends with an announced ``connection: close`` is no failure; anything else is.
    """

    def __init__(
        self,
        port: int,
        *,
        keep_alive: bool,
        connections: int = 8,
        path: str = "/name",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._port = port
        self._tls = tls
        self._keep_alive = keep_alive
        self._connections = connections
        close = "" if keep_alive else "connection: close\r\n"
        self._request = f"GET {path} HTTP/1.1\r\nhost: load\r\n{close}\r\n".encode()
        self._changed = threading.Condition()
        self._stopping = False
        self.sent = 0
        self.answered = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client finish its request and end."""
        self._stopping = True
        self._thread.join(_DEADLINE)
        assert not self._thread.is_alive(), "the load did not end"

    def wait_for(self, more: int) -> None:
        """Return when ``more`` further requests have been answered."""
        with self._changed:
            goal = self.answered + more
            assert self._changed.wait_for(lambda: self.answered >= goal, _DEADLINE), self._progress()

    def _progress(self) -> str:
        return f"{self.answered} answered, failures: {self.failures[:5]}"

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self._connections)))

    async def _client(self) -> None:
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._tls)
            except OSError as error:
                self._failed(f"connect: {error}")
                return
            try:
                await self._converse(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._stopping:
            self.sent += 1
            try:
                writer.write(self._request)
                async with asyncio.timeout(_DEADLINE):
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                    await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._failed(f"{type(error).__name__}: {error}")
                return
            if not head.startswith(b"http/1.1 200"):
                self._failed(head.decode("latin-1"))
                return
            with self._changed:
                self.answered += 1
                self._changed.notify_all()
            await asyncio.sleep(_REST)
            if not self._keep_alive or b"connection: close" in head:
                return

    def _failed(self, why: str) -> None:
        with self._changed:
            self.failures.append(why)
            self._changed.notify_all()


def reload_under_load(proxyd: Proxyd, times: int, requests: int) -> int:
    """Reload so often, each time after so many requests: none may fail, all are counted; how many it was."""
    port = proxyd.port()
    with Load(port, keep_alive=False) as fresh, Load(port, keep_alive=True) as kept:
        for generation in range(2, times + 2):
            fresh.wait_for(requests)
            kept.wait_for(requests)
            assert f"generation {generation}" in proxyd.command("reload").stdout
        fresh.wait_for(50)
        kept.wait_for(50)
    assert fresh.failures == []
    assert kept.failures == []
    sent = fresh.answered + kept.answered
    proxyd.until(
        lambda: proxyd.counter("http.ingress.downstream_rq_completed") == sent, f"{sent} requests counted"
    )
    return sent
