import pytest

from proxyd.system import MAX_DESCRIPTORS
from proxyd.workers.frames import FrameError, FrameReader, encode


def test_frames_survive_any_cut():
    stream = b"".join(data for payload in (b"one", b"x" * 70000) for data, _ in encode(payload))
    reader = FrameReader()
    frames = [frame for start in range(0, len(stream), 7) for frame in reader.feed(stream[start : start + 7])]
    assert frames == [(b"one", []), (b"x" * 70000, [])]


def test_descriptors_go_to_the_frame_they_came_with():
    reader = FrameReader()
    ((first, descriptors),) = encode(b"first", [5, 6])
    assert descriptors == [5, 6]
    assert reader.feed(first[:3], [5, 6]) == []
    ((second, _),) = encode(b"second")
    assert reader.feed(first[3:] + second) == [(b"first", [5, 6]), (b"second", [])]


def test_more_descriptors_than_one_message_carries():
    wanted = list(range(2 * MAX_DESCRIPTORS + 3))
    reader = FrameReader()
    frames = []
    for data, descriptors in encode(b"spawn", wanted):
        assert len(descriptors) <= MAX_DESCRIPTORS
        frames += reader.feed(data, descriptors)
    assert frames == [(b"spawn", wanted)]


def test_nonsense_is_refused():
    with pytest.raises(FrameError, match="bytes"):
        FrameReader().feed(b"\xff\xff\xff\xff\x00")
    with pytest.raises(FrameError, match="2 descriptors announced, 0 received"):
        FrameReader().feed(b"\x00\x00\x00\x01\x02x")
