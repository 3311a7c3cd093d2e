"""What has passed all filters, written down.

Compiled together with the package where that is compiled: compiled traits take no other implementations.
"""

from proxyd.filters.http_filter import Trailers
from proxyd.net.filter_iteration import FilteredStream


class Sink(FilteredStream):
    """Notes what arrives, and whether who sends has to wait."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.waits = False

    def pass_request_headers(self, end_stream: bool) -> None:
        self.seen.append(("head", end_stream))

    def pass_request_data(self, data: bytes) -> None:
        assert data
        self.seen.append(data)

    def pass_request_end(self, trailers: Trailers | None) -> None:
        self.seen.append("end" if trailers is None else "trailers")

    def pass_response_headers(self, end_stream: bool) -> None:
        self.pass_request_headers(end_stream)

    def pass_response_data(self, data: bytes) -> None:
        self.pass_request_data(data)

    def pass_response_end(self, trailers: Trailers | None) -> None:
        self.pass_request_end(trailers)

    def on_held_too_much(self, of_request: bool) -> None:
        """Who is told of this gives up; here it goes on."""

    def on_held_much(self, of_request: bool) -> None:
        assert not self.waits
        self.waits = True

    def on_held_less(self, of_request: bool) -> None:
        assert self.waits
        self.waits = False
