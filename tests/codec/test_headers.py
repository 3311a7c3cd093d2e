from proxyd.codec.headers import Headers


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
