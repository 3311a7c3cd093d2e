"""Readers with their events written down.

Compiled together with the package where that is compiled: compiled traits take no other implementations.
"""

from proxyd.codec.http1_requests import RequestReader
from proxyd.codec.http1_responses import ResponseReader
from proxyd.codec.messages import RequestEvents, RequestHead, ResponseEvents, ResponseHead

Event = tuple[object, ...]


def join(events: list[Event]) -> list[Event]:
    """The events with neighbouring pieces of a body as one."""
    joined: list[Event] = []
    for event in events:
        if event[0] == "data" and joined and joined[-1][0] == "data":
            joined[-1] = ("data", joined[-1][1] + event[1])  # type: ignore[operator]
        else:
            joined.append(event)
    return joined


class Requests(RequestEvents):
    """What a RequestReader makes of bytes: ``events`` in order, ``heads`` in full."""

    def __init__(
        self,
        max_bytes: int = 60 * 1024,
        max_count: int = 100,
        http_10: bool = False,
        absolute_url: bool = True,
        bug: Exception | None = None,
        trailers: bool = False,
        tunnel: bool = False,
        postpone: bool = False,
    ) -> None:
        self.reader = RequestReader(
            self, max_bytes, max_count, http_10, absolute_url, enable_trailers=trailers
        )
        self.tunnel = tunnel  # every head that asks for one begins one
        self.postpone = postpone  # it is said by ``settle``
        self.events: list[Event] = []
        self.heads: list[RequestHead] = []
        self.bug = bug  # raised at each head

    def read(self, *pieces: bytes) -> "Requests":
        for data in pieces:
            self.reader.feed(data)
        return self

    def on_request(self, head: RequestHead) -> None:
        if self.bug is not None:
            raise self.bug
        self.heads.append(head)
        self.events.append(("head", head.method, head.path, head.authority, head.body))
        if head.upgrade or head.method == b"CONNECT":
            if self.postpone:
                self.reader.postpone()
            elif self.tunnel:
                self.reader.begin_tunnel()

    def on_request_data(self, data: bytes) -> None:
        self.events.append(("data", data))

    def on_request_end(self) -> None:
        self.events.append(("end",))

    @property
    def failed(self) -> str | None:
        """``status details`` of the failure, if any."""
        failure = self.reader.failure
        return None if failure is None else f"{failure.status} {failure.details}"


class Responses(ResponseEvents):
    """What a ResponseReader makes of the answer to one request of ``method``."""

    def __init__(
        self,
        method: bytes = b"GET",
        max_bytes: int = 60 * 1024,
        max_count: int = 100,
        bug: Exception | None = None,
        trailers: bool = False,
        tunnel: bool = False,
    ) -> None:
        self.reader = ResponseReader(self, max_bytes, max_count, trailers)
        self.events: list[Event] = []
        self.heads: list[ResponseHead] = []
        self.bug = bug
        self.reader.expect(method, tunnel)

    def read(self, *pieces: bytes) -> "Responses":
        for data in pieces:
            self.reader.feed(data)
        return self

    def on_interim(self, head: ResponseHead) -> None:
        self.events.append(("interim", head.status))

    def on_response(self, head: ResponseHead) -> None:
        if self.bug is not None:
            raise self.bug
        self.heads.append(head)
        self.events.append(("head", head.status, head.body))

    def on_response_data(self, data: bytes) -> None:
        self.events.append(("data", data))

    def on_response_end(self) -> None:
        self.events.append(("end",))

    @property
    def failed(self) -> bool:
        return self.reader.failed
