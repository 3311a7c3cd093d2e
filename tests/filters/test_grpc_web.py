"""gRPC-Web's base64: each message by itself, however it is cut when it comes."""

import base64
import itertools

from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec.grpc import MessageCounter, message_prefix
from proxyd.filters.grpc_web import MessageEncoder

MESSAGES = st.lists(st.binary(max_size=40), max_size=6)
CUTS = st.lists(st.integers(min_value=0, max_value=300), max_size=30)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(each, len(data)) for each in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(MESSAGES, CUTS)
def test_each_message_is_text_by_itself_however_it_comes(messages: list[bytes], cuts: list[int]) -> None:
    whole = [message_prefix(len(message)) + message for message in messages]
    encoder = MessageEncoder()
    text = b"".join([encoder.feed(piece) for piece in cut(b"".join(whole), cuts)])
    assert text == b"".join(map(base64.b64encode, whole))


@given(MESSAGES, CUTS)
def test_messages_are_counted_as_they_begin(messages: list[bytes], cuts: list[int]) -> None:
    whole = [message_prefix(len(message)) + message for message in messages]
    counter = MessageCounter()
    begun = 0
    fed = 0
    for piece in cut(b"".join(whole), cuts):
        begun += counter.feed(piece)
        fed += len(piece)
        starts = [sum(map(len, whole[:number])) for number in range(len(whole))]
        assert begun == sum(start < fed for start in starts)
    assert begun == len(messages)


def test_little_is_held_of_a_large_message() -> None:
    encoder = MessageEncoder()
    text = len(encoder.feed(message_prefix(1 << 30)))
    for _ in range(100):
        text += len(encoder.feed(b"x" * 10_001))
        assert len(encoder._held) < 3
    assert text == (5 + 100 * 10_001) // 3 * 4
