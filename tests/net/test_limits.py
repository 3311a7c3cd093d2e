"""A limit over several processes: who writes where, and what counts."""

import pytest

from proxyd.net.limits import COLUMNS, ROWS, SIZE, ConnectionLimit, LimitRow, LimitTable


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
    one, two = (LimitRow(memory, table.lend_row(), columns).limit(1, 5) for _ in range(2))
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
    _has(row.limit(0, -1), 7)
    assert row.limit(1, 1).admits()
    assert not row.limit(0, 7).admits()
    assert not row.limit(1, 0).admits()


def test_what_drains_counts_under_its_name() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    old = LimitRow(memory, table.lend_row(), table.lend_columns(["a", "b"])).limit(1, -1)
    _has(old, 4)
    new = LimitRow(memory, table.lend_row(), table.lend_columns(["b"])).limit(0, 5)
    assert new.admits()
    _has(new, 1)
    assert not new.admits()


def test_a_process_that_died_counts_no_more_and_its_row_is_used_again() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    columns = table.lend_columns(["a"])
    dead = table.lend_row()
    _has(LimitRow(memory, dead, columns).limit(0, 2), 2)
    other = LimitRow(memory, table.lend_row(), columns).limit(0, 2)
    assert not other.admits()
    table.take_back_row(dead)
    table.take_back_row(dead)
    assert other.admits()
    assert table.lend_row() == dead
    assert other.admits()


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
    _has(LimitRow(memory, rows[-2], columns).limit(COLUMNS - 1, -1), 1)
    for row, listener in ((rows[-1], 0), (rows[0], COLUMNS)):
        lacking = LimitRow(memory, row, columns)
        _has(lacking.limit(listener, -1), 1)
        with pytest.raises(ValueError, match="a connection limit can hold over 1023 workers"):
            lacking.limit(listener, 3)
    assert table.lend_columns([""]) == (-1,)


def test_a_listener_that_takes_anothers_place_counts_its_connections_as_well() -> None:
    memory = memoryview(bytearray(SIZE))
    table = LimitTable(memory)
    row = LimitRow(memory, table.lend_row(), table.lend_columns(["a"]))
    old = row.limit(0, 3)
    _has(old, 2)
    new = row.limit(0, 3, old)
    new.opened()
    assert not new.admits()
    old.closed()
    assert new.admits()
    assert memory.cast("q")[row._row * COLUMNS + row.columns[0]] == 2


def test_what_a_predecessor_has_lent_is_its_own_until_it_has_gone() -> None:
    memory = memoryview(bytearray(SIZE))
    old, new = LimitTable(memory), LimitTable(memory)
    theirs = LimitRow(memory, old.lend_row(), old.lend_columns(["a", "b"])).limit(1, 5)
    _has(theirs, 3)
    rows, columns = old.lent()
    new.inherit(rows, columns)
    ours = LimitRow(memory, new.lend_row(), new.lend_columns(["b", "c"])).limit(0, 5)
    _has(ours, 2)
    assert not ours.admits()  # three and two
    for row in rows:
        new.take_back_row(row)
    new.take_back_columns(columns)
    assert ours.admits()
    assert new.lend_columns(["b"]) == (columns["b"],)
    assert columns["b"] not in new.lend_columns(["a", "d"])
