"""What an HTTP filter is: the contract, in Envoy's terms.

The filters of a chain see a request in their order, its response in the reverse one. Each part of a message,
head, data and trailers, is handed to a filter, which may change it, and says with a status whether it goes
on. What does not go on is held until ``FilterCallbacks.continue_decoding`` (or ``continue_encoding``).

Whoever changes how long a body is takes its ``content-length`` away, or corrects it: a body that is not as
long as its head says breaks its message off. Nothing here may block.
"""

from typing import Final

from mypy_extensions import mypyc_attr, trait

from proxyd.errors import NO_GRPC_STATUS
from proxyd.filters.stream_info import StreamInfo

# Of any part: it goes on.
CONTINUE: Final = 0

# Of a head: it waits. What follows comes to this filter all the same; with what continues, the head does.
STOP_ITERATION: Final = 1
# Of a head: it waits, and this filter sees nothing of what follows until it continues. More than the buffer
# limit is too much for the first (413, or 500 for a response); with the second the peer has to wait.
STOP_ALL_ITERATION_AND_BUFFER: Final = 2
STOP_ALL_ITERATION_AND_WATERMARK: Final = 3

# Of data: it is held, behind what is held already; more than the buffer limit is treated the same two ways.
STOP_ITERATION_AND_BUFFER: Final = 4
STOP_ITERATION_AND_WATERMARK: Final = 5
# Of data: the filter has taken it; nothing is held of it but the end, where it is that.
STOP_ITERATION_NO_BUFFER: Final = 6

# Of trailers STOP_ITERATION says that they wait, and all that is held with them.

Trailers = list[tuple[bytes, bytes]]


class Body:
    """A piece of a body on its way through the filters: who changes it puts other bytes there."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data: bytes = b""


@trait
class FilterCallbacks:
    """What a filter may ask of its chain, for one request. Nothing happens once the request is over."""

    __slots__ = ()

    def continue_decoding(self) -> None:
        """What this filter has stopped of the request goes on. Inside one of its own calls it is CONTINUE."""
        raise NotImplementedError

    def continue_encoding(self) -> None:
        """The same for the response."""
        raise NotImplementedError

    def add_decoded_data(self, data: bytes) -> None:
        """A piece of body behind what the filter holds of the request, or before the trailers it is given."""
        raise NotImplementedError

    def add_encoded_data(self, data: bytes) -> None:
        """The same for the response."""
        raise NotImplementedError

    def take_decoded_data(self) -> bytes:
        """What the filter holds of the request's body; it holds it no longer."""
        raise NotImplementedError

    def take_encoded_data(self) -> bytes:
        """The same for the response."""
        raise NotImplementedError

    def send_local_reply(
        self,
        status: int,
        body: bytes,
        details: str,
        flags: int = 0,
        grpc_status: int = NO_GRPC_STATUS,
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        """Answer in the host's place; what the call returns in which this is done does not count any more.

        ``details`` and ``flags`` (bits of ``proxyd.errors``) are for the access log, ``grpc_status`` for gRPC
        clients where it is not the one that stands for ``status``. A response that has begun is broken off.
        """
        raise NotImplementedError

    def clear_route_cache(self) -> None:
        """The route is chosen again when the request has come through the filters."""
        raise NotImplementedError

    def cluster_stat_name(self) -> str:
        """Under which name the cluster of the request's route counts; empty where there is none."""
        raise NotImplementedError

    def reset_stream(self) -> None:
        """Break the request and its response off."""
        raise NotImplementedError


class _NoCallbacks(FilterCallbacks):
    """Of a filter that is in no chain yet."""


_NOT_YET: Final = _NoCallbacks()


@mypyc_attr(allow_interpreted_subclasses=True)
class HttpFilter:
    """One filter at work on one request. ``end_stream``: nothing follows."""

    def __init__(self) -> None:
        self.callbacks: FilterCallbacks = _NOT_YET

    # -- the request: method, path, authority and request_headers of ``info`` may be changed

    def decode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        return CONTINUE

    def decode_data(self, body: Body, end_stream: bool) -> int:
        return CONTINUE

    def decode_trailers(self, trailers: Trailers) -> int:
        return CONTINUE

    # -- the response: response_code and response_headers of ``info`` may be changed

    def encode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        return CONTINUE

    def encode_data(self, body: Body, end_stream: bool) -> int:
        return CONTINUE

    def encode_trailers(self, trailers: Trailers) -> int:
        return CONTINUE

    # -- its end

    def on_stream_complete(self, info: StreamInfo) -> None:
        """The request is over, in whatever way; before the access log is written. The last call."""


@mypyc_attr(allow_interpreted_subclasses=True)
class HttpFilterFactory:
    """A compiled filter of a chain, shared by all requests."""

    def create(self) -> HttpFilter:
        """The filter for one request."""
        raise NotImplementedError
