"""A limit over several processes: who writes where, and what counts."""

import pytest

from proxyd.net.limits import COLUMNS, ROWS, SIZE, ConnectionLimit, LimitRow, LimitTable, TokenBucket


def _has(limit: ConnectionLimit, connections: int) -> None:
    """So many connections are open."""
    while limit._open[0] < connections:
        limit.opened()
    while limit._open[0] > connections:
        limit.closed()


def test_a_limit_holds_over_all_rows() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns(["a", "b"])
    one, two = (LimitRow(memory, table.lend_row(), columns).limit("b", 5) for _ in range(2))
    _has(one, 3)
    assert two.admits()
    _has(two, 2)
    assert not one.admits()
    assert not two.admits()
    _has(one, 2)
    assert two.admits()


def test_every_listener_is_counted_on_its_own() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    row = LimitRow(memory, table.lend_row(), table.lend_columns(["a", "b"]))
    _has(row.limit("a", -1), 7)
    assert row.limit("b", 1).admits()
    assert not row.limit("a", 7).admits()
    assert not row.limit("b", 0).admits()


def test_what_drains_counts_under_its_name() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    old = LimitRow(memory, table.lend_row(), table.lend_columns(["a", "b"])).limit("b", -1)
    _has(old, 4)
    new = LimitRow(memory, table.lend_row(), table.lend_columns(["b"])).limit("b", 5)
    assert new.admits()
    _has(new, 1)
    assert not new.admits()


def test_a_process_that_died_counts_no_more_and_its_row_is_used_again() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns(["a"])
    dead = table.lend_row()
    _has(LimitRow(memory, dead, columns).limit("a", 2), 2)
    other = LimitRow(memory, table.lend_row(), columns).limit("a", 2)
    assert not other.admits()
    table.take_back_row(dead)
    table.take_back_row(dead)
    assert other.admits()
    assert table.lend_row() == dead
    assert other.admits()


def test_columns_are_used_again_when_no_generation_has_the_name() -> None:
    table = LimitTable(memoryview(bytearray(SIZE)))
    first = table.lend_columns(["a", "b"])
    assert table.lend_columns(["b", "c"])["b"] == first["b"]
    table.take_back_columns(["a", "b"])
    assert table.lend_columns(["b"]) == {"b": first["b"]}
    assert table.lend_columns(["d"]) == {"d": first["a"]}


def test_a_column_is_not_used_again_while_somebody_counts_there() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    first = table.lend_columns(["a"])
    drains = LimitRow(memory, table.lend_row(), first).limit("a", 3)
    _has(drains, 1)
    table.take_back_columns(["a"])
    second = table.lend_columns(["b"])
    assert second["b"] != first["a"]
    drains.closed()
    assert table.lend_columns(["c"])["c"] == first["a"]


def test_there_are_so_many_rows_and_columns() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns([str(number) for number in range(COLUMNS + 1)])
    assert sorted(columns.values()) == list(range(COLUMNS))
    assert str(COLUMNS) not in columns
    rows = [table.lend_row() for _ in range(ROWS + 1)]
    assert (len(set(rows)), rows[-1]) == (ROWS + 1, -1)
    _has(LimitRow(memory, rows[-2], columns).limit(str(COLUMNS - 1), -1), 1)
    for row, listener in ((rows[-1], "0"), (rows[0], str(COLUMNS))):
        lacking = LimitRow(memory, row, columns)
        _has(lacking.limit(listener, -1), 1)
        with pytest.raises(ValueError, match="limits can hold over 1023 workers"):
            lacking.limit(listener, 3)
        with pytest.raises(ValueError, match="limits can hold over 1023 workers"):
            lacking.filter_limit(listener, 3)
        with pytest.raises(ValueError, match="limits can hold over 1023 workers"):
            lacking.bucket(listener, 3, 1.0)
    assert table.lend_columns([""]) == {}


def test_a_listener_that_takes_anothers_place_counts_its_connections_as_well() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    row = LimitRow(memory, table.lend_row(), table.lend_columns(["a"]))
    old = row.limit("a", 3)
    _has(old, 2)
    new = row.limit("a", 3, old)
    new.opened()
    assert not new.admits()
    old.closed()
    assert new.admits()
    assert memory.cast("q")[row._row * COLUMNS + row.columns["a"]] == 2


def test_what_a_predecessor_has_lent_is_its_own_until_it_has_gone() -> None:
    memory = memoryview(bytearray(SIZE))
    old, new = LimitTable(memory), LimitTable(memory)
    theirs = LimitRow(memory, old.lend_row(), old.lend_columns(["a", "b"])).limit("b", 5)
    _has(theirs, 3)
    rows, columns = old.lent()
    new.inherit(rows, columns)
    ours = LimitRow(memory, new.lend_row(), new.lend_columns(["b", "c"])).limit("b", 5)
    _has(ours, 2)
    assert not ours.admits()  # three and two
    for row in rows:
        new.take_back_row(row)
    new.take_back_columns(columns)
    assert ours.admits()
    assert new.lend_columns(["b"]) == {"b": columns["b"]}
    assert columns["b"] not in new.lend_columns(["a", "d"]).values()


def test_filters_of_one_name_count_together_in_a_process_too() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    row = LimitRow(memory, table.lend_row(), table.lend_columns(["f"]))
    drains = row.filter_limit("f", 2)
    drains.opened()
    again = row.filter_limit("f", 2)
    again.opened()
    other = LimitRow(memory, table.lend_row(), row.columns).filter_limit("f", 2)
    assert not other.admits()
    drains.closed()
    assert other.admits()
    other.opened()
    assert not again.admits()


def _taken(bucket: TokenBucket, now: float) -> int:
    count = 0
    while bucket.take(now):
        count += 1
    return count


def test_a_bucket_fills_as_time_passes() -> None:
    for now in (5.0, 5e6):  # the machine has just begun, or long ago
        bucket = TokenBucket(4, 0.5)
        assert _taken(bucket, now) == 4
        assert _taken(bucket, now + 1.9) == 0
        assert _taken(bucket, now + 2.1) == 1
        assert _taken(bucket, now + 7.9) == 2  # what was there of the next token was not lost
        assert _taken(bucket, now + 8.1) == 1
        assert _taken(bucket, now + 1000.0) == 4


def test_all_processes_have_one_bucket() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns(["f", "g"])
    one, two = (LimitRow(memory, table.lend_row(), columns) for _ in range(2))
    assert _taken(one.bucket("f", 3, 1.0), 9.0) == 3
    assert _taken(two.bucket("f", 3, 1.0), 9.0) == 0
    assert _taken(two.bucket("f", 3, 1.0), 10.5) == 1
    assert _taken(two.bucket("g", 3, 1.0), 9.0) == 3
    table.take_back_columns(columns)
    columns = table.lend_columns(["h"])
    assert _taken(LimitRow(memory, 1, columns).bucket("h", 3, 1.0), 10.5) == 3
