"""Whatever filters hold and continue, in whatever order: all of a message arrives, once, in its order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxyd.filters.http_filter import (
    CONTINUE,
    STOP_ALL_ITERATION_AND_BUFFER,
    STOP_ALL_ITERATION_AND_WATERMARK,
    STOP_ITERATION,
    STOP_ITERATION_AND_BUFFER,
    STOP_ITERATION_AND_WATERMARK,
    Body,
    HttpFilter,
    Trailers,
)
from proxyd.filters.stream_info import StreamInfo
from proxyd.net.filter_iteration import Decoding, Encoding
from tests.filters.sink import Sink

_HEADS = (CONTINUE, STOP_ITERATION, STOP_ALL_ITERATION_AND_BUFFER, STOP_ALL_ITERATION_AND_WATERMARK)
_DATA = (CONTINUE, STOP_ITERATION_AND_BUFFER, STOP_ITERATION_AND_WATERMARK)
_ENDS = (CONTINUE, STOP_ITERATION)


class Arbitrary(HttpFilter):
    """Stops and lets go as the numbers say that it is given."""

    def __init__(self, numbers: list[int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.seen: list[Any] = []

    def _next(self, choices: tuple[int, ...]) -> int:
        return choices[self.numbers.pop() % len(choices)] if self.numbers else CONTINUE

    def decode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        self.seen.append(("head", end_stream))
        return self._next(_HEADS)

    def decode_data(self, body: Body, end_stream: bool) -> int:
        self.seen.append(body.data)
        if end_stream:
            self.seen.append("end")
        return self._next(_DATA)

    def decode_trailers(self, trailers: Trailers) -> int:
        self.seen.append("trailers")
        return self._next(_ENDS)

    def encode_headers(self, info: StreamInfo, end_stream: bool) -> int:
        return self.decode_headers(info, end_stream)

    def encode_data(self, body: Body, end_stream: bool) -> int:
        return self.decode_data(body, end_stream)

    def encode_trailers(self, trailers: Trailers) -> int:
        return self.decode_trailers(trailers)


@given(
    st.booleans(),
    st.lists(st.lists(st.integers(0, 11), max_size=12), max_size=4),
    st.lists(st.binary(min_size=1, max_size=5), max_size=5),
    st.sampled_from(["head", "end", "trailers"]),
    st.lists(st.integers(0, 3), max_size=30),
)
def test_all_arrives_once_and_in_order(
    of_request: bool, numbers: list[list[int]], pieces: list[bytes], ending: str, continued: list[int]
) -> None:
    filters = [Arbitrary(each) for each in numbers]
    sink = Sink()
    made = (Decoding if of_request else Encoding)(list[HttpFilter](filters), StreamInfo(), sink, 4)

    def let_go() -> None:
        if continued and filters:
            made.go_on(filters[continued.pop() % len(filters)])

    steps: list[Any] = [lambda: made.headers(ending == "head")]
    if ending != "head":
        steps += [lambda piece=piece: made.data(piece) for piece in pieces]
        steps.append(lambda: made.end([(b"x", b"y")] if ending == "trailers" else None))
    for step in steps:
        step()
        let_go()
    for _ in range(10):
        for each in filters:
            each.numbers.clear()
            made.go_on(each)
    body = b"" if ending == "head" else b"".join(pieces)
    last = [] if ending == "head" else [ending]
    for seen in (sink.seen, *(each.seen for each in filters)):
        if ending == "end" and seen == [("head", True)]:  # held together, a head and an end are one
            assert not body
            continue
        assert seen[0] == ("head", ending == "head")
        assert b"".join(each for each in seen if isinstance(each, bytes)) == body
        assert [each for each in seen[1:] if not isinstance(each, bytes)] == last
        assert ending == "head" or seen[-1] == ending
    assert not sink.waits
    assert made._held == 0
