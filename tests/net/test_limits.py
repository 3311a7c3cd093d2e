"""A limit over several processes: who writes where, and what counts."""

import pytest

from proxyd.net.limits import COLUMNS, ROWS, SIZE, LimitRow, LimitTable


def test_a_limit_holds_over_all_rows() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns(["a", "b"])
    one, two = (LimitRow(memory, table.lend_row(), columns).limit(1, 5) for _ in range(2))
    one.store(3)
    assert two.admits(0)
    two.store(2)
    assert not one.admits(3)
    assert not two.admits(2)
    one.store(2)
    assert two.admits(2)


def test_every_listener_is_counted_on_its_own() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    row = LimitRow(memory, table.lend_row(), table.lend_columns(["a", "b"]))
    row.limit(0, -1).store(7)
    assert row.limit(1, 1).admits(0)
    assert not row.limit(0, 7).admits(7)
    assert not row.limit(1, 0).admits(0)


def test_what_drains_counts_under_its_name() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    old = LimitRow(memory, table.lend_row(), table.lend_columns(["a", "b"])).limit(1, -1)
    old.store(4)
    new = LimitRow(memory, table.lend_row(), table.lend_columns(["b"])).limit(0, 5)
    assert new.admits(0)
    new.store(1)
    assert not new.admits(1)


def test_a_process_that_died_counts_no_more_and_its_row_is_used_again() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns(["a"])
    dead = table.lend_row()
    LimitRow(memory, dead, columns).limit(0, 2).store(2)
    other = LimitRow(memory, table.lend_row(), columns).limit(0, 2)
    assert not other.admits(0)
    table.take_back_row(dead)
    table.take_back_row(dead)
    assert other.admits(0)
    assert table.lend_row() == dead
    assert other.admits(0)


def test_columns_are_used_again_when_no_generation_has_the_name() -> None:
    table = LimitTable(memoryview(bytearray(SIZE)))
    first = table.lend_columns(["a", "b"])
    assert table.lend_columns(["b", "c"])[0] == first[1]
    table.take_back_columns(["a", "b"])
    assert table.lend_columns(["b"])[0] == first[1]
    assert table.lend_columns(["d"])[0] == first[0]


def test_there_are_so_many_rows_and_columns() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns([str(number) for number in range(COLUMNS + 1)])
    assert (len(set(columns)), columns[-1]) == (COLUMNS + 1, -1)
    rows = [table.lend_row() for _ in range(ROWS + 1)]
    assert (len(set(rows)), rows[-1]) == (ROWS + 1, -1)
    LimitRow(memory, rows[-2], columns).limit(COLUMNS - 1, -1).store(1)
    for row, listener in ((rows[-1], 0), (rows[0], COLUMNS)):
        lacking = LimitRow(memory, row, columns)
        lacking.limit(listener, -1).store(1)
        with pytest.raises(ValueError, match="a connection limit can hold over 1023 workers"):
            lacking.limit(listener, 3)
    assert table.lend_columns([""]) == (-1,)
