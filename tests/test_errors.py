from proxyd import errors
from proxyd.errors import FLAG_NAMES, Failure, flags_text


def test_each_flag_has_the_bit_of_its_name() -> None:
    for bit, name in enumerate(FLAG_NAMES):
        assert flags_text(1 << bit) == name
        assert getattr(errors, name, 1 << bit) == 1 << bit


def test_flags_are_joined_and_none_is_a_dash() -> None:
    assert flags_text(0) == "-"
    assert flags_text(errors.UF | errors.URX) == "UF,URX"


def test_rows_of_the_table_are_told_apart_by_their_details() -> None:
    rows = [value for value in vars(errors).values() if isinstance(value, Failure)]
    assert len(rows) > 20
    told = [(row.status, row.flags, row.details) for row in rows]
    assert len(set(told)) == len(told)
    for row in rows:
        assert row.status == 0 or 400 <= row.status <= 599
        assert " " not in row.details
