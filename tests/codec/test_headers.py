from hypothesis import given
from hypothesis import strategies as st

from proxyd.codec.headers import HeaderBlock, Headers, write_fields


def test_fields_keep_their_order_and_repetitions() -> None:
    headers = Headers()
    headers.add(b"a", b"1")
    headers.add(b"b", b"2")
    headers.add(b"a", b"3")
    assert list(headers) == [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert headers.get(b"a") == b"1"
    assert headers.get_all(b"a") == [b"1", b"3"]
    assert headers.get(b"c") is None


def test_set_leaves_one_in_the_place_of_the_first() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    headers.set(b"a", b"4")
    assert headers.items == [(b"a", b"4"), (b"b", b"2")]
    headers.set(b"c", b"5")
    assert headers.items[-1] == (b"c", b"5")


def test_remove_takes_all_of_a_name() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    headers.remove(b"a")
    headers.remove(b"x")
    assert headers.items == [(b"b", b"2")]


_NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
_VALUES = st.sampled_from([b"", b"1", b"2"])
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=5)
_CHANGES = st.lists(st.tuples(st.sampled_from(["add", "set", "remove", "replace", "share"]), _NAMES, _VALUES))


@given(_FIELDS, _CHANGES)
def test_shared_fields_behave_like_own_ones(fields, changes):
    block = HeaderBlock(list(fields), write_fields(fields))
    shared, own = Headers(), Headers(list(fields))
    shared.share(block)
    for change, name, value in changes:
        for headers in (shared, own):
            if change == "add":
                headers.add(name, value)
            elif change == "set":
                headers.set(name, value)
            elif change == "remove":
                headers.remove(name)
            elif change == "replace":
                headers.items = [item for item in headers.items if item[1] != value]
        if change == "share":
            shared.share(block)
            own = Headers(list(fields))
        assert shared.items == own.items
        assert shared.wire() == own.wire() == write_fields(own.items)
        assert [shared.get(each) for each in (b"a", b"b", b"c", b"d", b"e")] == [
            own.get(each) for each in (b"a", b"b", b"c", b"d", b"e")
        ]
        assert block.items == fields
