"""How one message goes through the filters of its chain: what goes on, and what waits where.

Each filter has a place. What a filter stops is held there: the head, data, the end or the trailers behind it.
To continue is to let go of what is held, to the next place; behind the last one is the exchange.
"""

from typing import Final

from mypy_extensions import trait

from proxyd.filters.http_filter import (
    CONTINUE,
    STOP_ALL_ITERATION_AND_BUFFER,
    STOP_ALL_ITERATION_AND_WATERMARK,
    STOP_ITERATION,
    STOP_ITERATION_AND_WATERMARK,
    STOP_ITERATION_NO_BUFFER,
    Body,
    HttpFilter,
    Trailers,
)
from proxyd.filters.stream_info import StreamInfo


@trait
class FilteredStream:
    """Where what has passed all filters goes, and what becomes of too much.

    A message that does not end with its head ends with ``…_end``: without trailers where they are None.
    """

    __slots__ = ()

    def pass_request_headers(self, end_stream: bool) -> None:
        raise NotImplementedError

    def pass_request_data(self, data: bytes) -> None:
        raise NotImplementedError

    def pass_request_end(self, trailers: Trailers | None) -> None:
        raise NotImplementedError

    def pass_response_headers(self, end_stream: bool) -> None:
        raise NotImplementedError

    def pass_response_data(self, data: bytes) -> None:
        raise NotImplementedError

    def pass_response_end(self, trailers: Trailers | None) -> None:
        raise NotImplementedError

    def on_held_too_much(self, of_request: bool) -> None:
        """More than the buffer limit is held by filters that need all of it."""
        raise NotImplementedError

    def on_held_much(self, of_request: bool) -> None:
        """More than the buffer limit is held: who sends it has to wait."""
        raise NotImplementedError

    def on_held_less(self, of_request: bool) -> None:
        """No more than half of that any longer."""
        raise NotImplementedError


class Place:
    """What one filter holds."""

    __slots__ = (
        "all", "busy", "continued", "data", "end", "filter", "headers", "stopped", "trailers", "unseen",
        "watermark",
    )  # fmt: skip

    def __init__(self, http_filter: HttpFilter) -> None:
        self.filter: Final = http_filter
        self.busy: bool = False  # the filter is being called
        self.continued: bool = False  # and has asked to go on
        self.stopped: bool = False  # what comes is held, too, or it is asked about it
        self.all: bool = False  # it is not asked
        self.watermark: bool = False  # of what it is not asked about, too much has the peer wait
        self.headers: bool = False  # the head is held
        self.data: list[bytes] = []
        self.end: bool = False  # the end is held, behind the head or the data
        self.trailers: Trailers | None = None
        self.unseen: bool = False  # something is held of which the filter was not asked


class Iteration:
    """One direction of one request. Once ``over`` is set, nothing goes on any more."""

    __slots__ = ("_held", "_info", "_limit", "_much", "_of_request", "_places", "_stream", "over")

    def __init__(
        self,
        filters: list[HttpFilter],
        info: StreamInfo,
        stream: FilteredStream,
        limit: int,
        of_request: bool,
    ) -> None:
        """``limit``: how many bytes filters may hold together."""
        self._places: Final = [Place(each) for each in filters]
        self._info: Final = info
        self._stream: Final = stream
        self._limit: Final = limit
        self._of_request: Final = of_request
        self._held: int = 0
        self._much: bool = False  # the peer waits
        self.over: bool = False

    # -- what the directions do differently

    def _call_headers(self, http_filter: HttpFilter, end_stream: bool) -> int:
        raise NotImplementedError

    def _call_data(self, http_filter: HttpFilter, body: Body, end_stream: bool) -> int:
        raise NotImplementedError

    def _call_trailers(self, http_filter: HttpFilter, trailers: Trailers) -> int:
        raise NotImplementedError

    def _pass_headers(self, end_stream: bool) -> None:
        raise NotImplementedError

    def _pass_data(self, data: bytes) -> None:
        raise NotImplementedError

    def _pass_end(self, trailers: Trailers | None) -> None:
        raise NotImplementedError

    # -- the message as it comes

    def headers(self, end_stream: bool) -> None:
        self._headers_from(0, end_stream)

    def data(self, data: bytes, end_stream: bool = False) -> None:
        self._data_from(0, data, end_stream)

    def end(self, trailers: Trailers | None) -> None:
        """The end of a message that did not end with its head."""
        if trailers is None:
            self._data_from(0, b"", True)
        else:
            self._trailers_from(0, trailers)

    @property
    def holds_much(self) -> bool:
        """Whether the peer waits."""
        return self._much

    # -- the filters' side

    def go_on(self, http_filter: HttpFilter) -> bool:
        """What this filter has stopped goes on; whether anything did, at once."""
        index = self._index(http_filter)
        place = self._places[index]
        if place.busy:
            place.continued = True
            return False
        if not place.stopped or self.over:
            return False
        self._release(index)
        return True

    def add_data(self, http_filter: HttpFilter, data: bytes) -> None:
        """A piece of body at this filter's place, where that is any."""
        place = self._places[self._index(http_filter)]
        if (place.busy or place.stopped) and not self.over and data:
            self._hold(place, data, False)

    def take_data(self, http_filter: HttpFilter) -> bytes:
        """The body that is held at this filter's place; it is not held there any more."""
        place = self._places[self._index(http_filter)]
        data = b"".join(place.data)
        place.data = []
        self._held -= len(data)
        return data

    def _index(self, http_filter: HttpFilter) -> int:
        for index, place in enumerate(self._places):
            if place.filter is http_filter:
                return index
        raise AssertionError("no filter of this chain")

    # -- from place to place

    def _headers_from(self, index: int, end_stream: bool) -> None:
        places = self._places
        while index < len(places):
            place = places[index]
            place.busy = True
            status = self._call_headers(place.filter, end_stream)
            if self._settled(place, status) != CONTINUE:
                place.headers = True
                place.end = end_stream
                place.all = status in (STOP_ALL_ITERATION_AND_BUFFER, STOP_ALL_ITERATION_AND_WATERMARK)
                place.watermark = status == STOP_ALL_ITERATION_AND_WATERMARK
                return
            if place.data:  # it has made a body
                place.headers = True
                place.end = end_stream
                self._release(index)
                return
            index += 1
        if not self.over:
            self._pass_headers(end_stream)

    def _data_from(self, index: int, data: bytes, end_stream: bool) -> None:
        places = self._places
        body = Body()
        while index < len(places):
            place = places[index]
            if place.all:
                place.end = end_stream
                place.unseen = True
                if data:
                    self._hold(place, data, place.watermark)
                return
            body.data = data
            place.busy = True
            status = self._call_data(place.filter, body, end_stream)
            data = body.data
            if self._settled(place, status) != CONTINUE:
                place.end = end_stream
                if data and status != STOP_ITERATION_NO_BUFFER:
                    self._hold(place, data, status == STOP_ITERATION_AND_WATERMARK)
                return
            if place.headers or place.data:
                if data:
                    place.data.append(data)
                    self._held += len(data)
                place.end = end_stream
                self._release(index)
                return
            place.stopped = False
            if not data and not end_stream:
                return
            index += 1
        if self.over:
            return
        if data:
            self._pass_data(data)
        if end_stream and not self.over:
            self._pass_end(None)

    def _trailers_from(self, index: int, trailers: Trailers) -> None:
        places = self._places
        while index < len(places):
            place = places[index]
            if place.all:
                place.trailers = trailers
                return
            place.busy = True
            status = self._call_trailers(place.filter, trailers)
            if self._settled(place, status) != CONTINUE:
                place.trailers = trailers
                return
            if place.headers or place.data:
                place.trailers = trailers
                self._release(index)
                return
            place.stopped = False
            index += 1
        if not self.over:
            self._pass_end(trailers)

    def _settled(self, place: Place, status: int) -> int:
        """What becomes of a part, now that its filter has been asked."""
        place.busy = False
        if self.over:
            return STOP_ITERATION
        if place.continued:
            place.continued = False
            return CONTINUE
        if status != CONTINUE:
            place.stopped = True
        return status

    def _hold(self, place: Place, data: bytes, watermark: bool) -> None:
        place.data.append(data)
        self._held += len(data)
        if self._held <= self._limit:
            return
        if not watermark:
            self._stream.on_held_too_much(self._of_request)
        elif not self._much:
            self._much = True
            self._stream.on_held_much(self._of_request)

    def _release(self, index: int) -> None:
        """Let go of what is held at a place."""
        place = self._places[index]
        onward = index if place.all else index + 1  # who has not seen what is held is asked first
        headers = place.headers
        pieces = place.data
        end_stream = place.end
        trailers = place.trailers
        place.stopped = False
        place.all = False
        place.headers = False
        place.data = []
        place.end = False
        place.trailers = None
        for piece in pieces:
            self._held -= len(piece)
        empty = end_stream and not pieces
        # A head and an end behind it are one, unless the filter has yet to be told of the end.
        ends_here = headers and empty and not place.unseen
        place.unseen = False
        if headers:
            self._headers_from(index + 1, ends_here)
        if not ends_here:
            left = len(pieces)
            for piece in pieces:
                if self.over:
                    return
                left -= 1
                self._data_from(onward, piece, end_stream and left == 0)
            if self.over:
                return
            if empty:
                self._data_from(onward, b"", True)
            elif trailers is not None:
                self._trailers_from(onward, trailers)
        if self._much and self._held <= self._limit // 2:
            self._much = False
            if not self.over:
                self._stream.on_held_less(self._of_request)


class Decoding(Iteration):
    """The way of the request, through the filters in their order."""

    __slots__ = ()

    def __init__(
        self, filters: list[HttpFilter], info: StreamInfo, stream: FilteredStream, limit: int
    ) -> None:
        super().__init__(filters, info, stream, limit, True)

    def _call_headers(self, http_filter: HttpFilter, end_stream: bool) -> int:
        return http_filter.decode_headers(self._info, end_stream)

    def _call_data(self, http_filter: HttpFilter, body: Body, end_stream: bool) -> int:
        return http_filter.decode_data(body, end_stream)

    def _call_trailers(self, http_filter: HttpFilter, trailers: Trailers) -> int:
        return http_filter.decode_trailers(trailers)

    def _pass_headers(self, end_stream: bool) -> None:
        self._stream.pass_request_headers(end_stream)

    def _pass_data(self, data: bytes) -> None:
        self._stream.pass_request_data(data)

    def _pass_end(self, trailers: Trailers | None) -> None:
        self._stream.pass_request_end(trailers)


class Encoding(Iteration):
    """The way of the response, through the filters in the reverse order."""

    __slots__ = ()

    def __init__(
        self, filters: list[HttpFilter], info: StreamInfo, stream: FilteredStream, limit: int
    ) -> None:
        super().__init__(filters[::-1], info, stream, limit, False)

    def _call_headers(self, http_filter: HttpFilter, end_stream: bool) -> int:
        return http_filter.encode_headers(self._info, end_stream)

    def _call_data(self, http_filter: HttpFilter, body: Body, end_stream: bool) -> int:
        return http_filter.encode_data(body, end_stream)

    def _call_trailers(self, http_filter: HttpFilter, trailers: Trailers) -> int:
        return http_filter.encode_trailers(trailers)

    def _pass_headers(self, end_stream: bool) -> None:
        self._stream.pass_response_headers(end_stream)

    def _pass_data(self, data: bytes) -> None:
        self._stream.pass_response_data(data)

    def _pass_end(self, trailers: Trailers | None) -> None:
        self._stream.pass_response_end(trailers)
