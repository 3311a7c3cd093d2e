import uuid

from proxyd.net.request_id import RequestIds


def test_ids_are_random_uuids_each_another() -> None:
    ids = RequestIds()
    made = [ids.next() for _ in range(2000)]
    assert len(set(made)) == 2000
    for value in made:
        parsed = uuid.UUID(value.decode())
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122
        assert str(parsed).encode() == value
    assert {value[19:20] for value in made} == {b"8", b"9", b"a", b"b"}
