"""Plays a case on one connection and reads what comes back."""

import socket
import struct
import time
from dataclasses import dataclass, field

from tests.conformance.case import Case, Do
from tests.conformance.origin import Origin
from tests.conformance.wire import Malformed, Message, take_response

_PATIENCE = 3.0  # seconds
PROBE_BODY = b"still here"
_PROBE = b"GET / HTTP/1.1\r\nhost: probe.test\r\n\r\n"


@dataclass
class Played:
    """The responses of one connection, what stood behind them, and whether it can be used again."""

    responses: list[Message] = field(default_factory=list)
    rest: bytes = b""
    fate: str = "closed"
    port: int = 0  # the client's, which the access log tells too
    broken: bool = False  # what came back is no HTTP


class _Connection:
    def __init__(self, case: Case, address: tuple[str, int], used: set[int]) -> None:
        self._case = case
        self._socket = connect(case.source, address, used)
        self.port: int = self._socket.getsockname()[1]
        self.data = b""
        self.closed = False
        self.broken = False  # what came is no HTTP
        self.responses: list[Message] = []
        self._finals = 0

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except ConnectionError:
            pass  # what was answered before can still be read

    def read(self, deadline: float) -> bool:
        """Take in what comes; False at the end or when time is up."""
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            return False
        except ConnectionError:
            data = b""
        self.data += data
        self.closed = self.closed or not data
        return bool(data)

    def next_response(self, deadline: float, method: bytes) -> Message | None:
        """Interim or final; None where there is no further one."""
        while True:
            try:
                taken = take_response(self.data, method, self.closed)
            except Malformed:
                self.broken = True
                return None
            if taken is not None:
                message, self.data = taken
                self.responses.append(message)
                return message
            if self.closed or (not self.read(deadline) and not self.closed):
                return None

    def finals(self, count: int, deadline: float) -> None:
        """Read until there are so many final responses, or no more come."""
        while self._finals < count:
            message = self.next_response(deadline, self._case.method(self._finals))
            if message is None:
                return
            if message.status >= 200 or message.status == 101:
                self._finals += 1

    def await_response(self, deadline: float) -> None:
        message = self.next_response(deadline, self._case.method(self._finals))
        if message is not None and message.status >= 200:
            self._finals += 1

    def probe(self) -> str:
        """Whether the connection takes another request and answers that one."""
        if self.closed or self.broken:
            return "closed" if self.closed else "broken"
        self.send(_PROBE)
        deadline = time.monotonic() + _PATIENCE
        while (message := self.next_response(deadline, b"GET")) is not None:
            if PROBE_BODY in message.body:  # local replies may be reformatted
                self.responses.remove(message)
                return "kept"
        return "closed" if self.closed else "broken" if self.broken else "silent"

    def shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
        self.closed = True


def connect(source: str, address: tuple[str, int], used: set[int]) -> socket.socket:
    """A connection whose own port no other in ``used`` has had: by it the access log tells them apart."""
    while True:
        sock = socket.create_connection(address, _PATIENCE, source_address=(source, 0))
        port = sock.getsockname()[1]
        if port not in used:
            used.add(port)
            return sock
        sock.close()


def play(case: Case, address: tuple[str, int], origin: Origin, used: set[int]) -> Played:
    """Send what the case says and read what comes back."""
    connection = _Connection(case, address, used)
    try:
        ended = not all(_act(step, connection, origin) for step in case.sends)
        if not ended:
            connection.finals(case.responses, time.monotonic() + case.patience)
        fate = "left" if ended else connection.probe() if case.probe else "unknown"
    finally:
        connection.close()
    return Played(connection.responses, connection.data, fate, connection.port, connection.broken)


def _act(step: bytes | float | Do, connection: _Connection, origin: Origin) -> bool:
    """Do one step; False where the client has left."""
    deadline = time.monotonic() + _PATIENCE
    if isinstance(step, bytes):
        connection.send(step)
    elif isinstance(step, float):
        time.sleep(step)
    elif step is Do.AWAIT_RESPONSE:
        connection.await_response(deadline)
    elif step is Do.AWAIT_UPSTREAM:
        origin.await_request(_PATIENCE)
    elif step is Do.AWAIT_BYTES:
        connection.read(deadline)
    elif step is Do.SHUT:
        connection.shut()
    else:
        connection.close(reset=step is Do.RESET)
        return False
    return True
