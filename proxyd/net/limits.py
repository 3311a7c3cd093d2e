"""Limits of connections that hold over all processes of an instance, by memory that they share.

```
row 0     cell 0: how many rows below are in use or have been
row 1..   one for each worker process, written by it alone: a cell for each listener name, its connections now
```

A worker stores its count when a connection comes or goes, and admits by the sum of all rows, those of
draining generations included. There is no lock: N workers that admit at the same moment exceed a limit by
N - 1 at most.
The supervisor lends rows and columns, and clears the row of a process that has ended, however it ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

ROWS: Final = 1023  # worker processes at a time, of all generations
COLUMNS: Final = 4096  # names of listeners at a time, of all generations
SIZE: Final = (1 + ROWS) * COLUMNS * 8  # bytes; sparse, a worker uses one page for 512 listeners

_NONE: Final = -1


class LimitTable:
    """The supervisor's side: who writes where. ``memory`` is zeroed, ``SIZE`` bytes long."""

    def __init__(self, memory: memoryview) -> None:
        self._cells: Final = memory.cast("B").cast("q")
        self._rows: Final[set[int]] = set()
        self._columns: Final[dict[str, int]] = {}
        self._users: Final[dict[str, int]] = {}  # generations that have a column

    def lent(self) -> tuple[list[int], dict[str, int]]:
        """The rows and columns that are lent."""
        return sorted(self._rows), dict(self._columns)

    def inherit(self, rows: Iterable[int], columns: Mapping[str, int]) -> None:
        """In a successor of another supervisor: what that has lent is its own until it has ended."""
        self._rows.update(rows)
        for name, column in columns.items():
            self._columns[name] = column
            self._users[name] = 1

    def lend_row(self) -> int:
        """A row for a new worker process, all zero; -1 where all are taken."""
        row = next((row for row in range(1, ROWS + 1) if row not in self._rows), _NONE)
        if row != _NONE:
            self._rows.add(row)
            self._cells[0] = max(self._cells[0], row)
        return row

    def take_back_row(self, row: int) -> None:
        """The process has ended, and its connections with it."""
        if row in self._rows:
            self._rows.remove(row)
            self._cells[row * COLUMNS : (row + 1) * COLUMNS] = memoryview(bytes(COLUMNS * 8)).cast("q")
            self._cells[0] = max(self._rows, default=0)

    def lend_columns(self, names: Iterable[str]) -> tuple[int, ...]:
        """A column for each of a generation's listeners, the same for the same name; -1 for none.

        None is for a listener without a name, to which no limit can be given, and where all are taken.
        """
        return tuple(self._lend_column(name) for name in names)

    def take_back_columns(self, names: Iterable[str]) -> None:
        """The generation is over: all its workers have ended."""
        for name in names:
            if name in self._columns:
                self._users[name] -= 1
                if not self._users[name]:
                    del self._users[name], self._columns[name]

    def _lend_column(self, name: str) -> int:
        if not name:
            return _NONE
        if name not in self._columns:
            taken = set(self._columns.values())
            column = next((column for column in range(COLUMNS) if column not in taken), _NONE)
            if column == _NONE:
                return _NONE
            self._columns[name] = column
            self._users[name] = 0
        self._users[name] += 1
        return self._columns[name]


class ConnectionLimit:
    """How many connections one listener may have. Without shared memory the limit is this process's own."""

    def __init__(
        self,
        most: int,
        cells: memoryview | None = None,
        row: int = -1,
        column: int = -1,
        before: "ConnectionLimit | None" = None,
    ) -> None:
        """``most`` is -1 for no limit. ``before`` is that of the listener whose place this one takes.

        Its connections count as well until they have closed.
        """
        self._most: Final = most
        self._cells: Final = cells
        self._own: Final = row * COLUMNS + column
        self._column: Final = column
        self._open: Final[list[int]] = [0] if before is None else before._open  # shared: the one number

    def admits(self) -> bool:
        """Whether one more may come."""
        most = self._most
        if most < 0:
            return True
        cells = self._cells
        if cells is None:
            return self._open[0] < most
        return sum(cells[COLUMNS + self._column : (1 + cells[0]) * COLUMNS : COLUMNS]) < most

    def opened(self) -> None:
        """This process has one connection more."""
        self._open[0] += 1
        if self._cells is not None:
            self._cells[self._own] = self._open[0]

    def closed(self) -> None:
        """This process has one connection less."""
        self._open[0] -= 1
        if self._cells is not None:
            self._cells[self._own] = self._open[0]


class LimitRow:
    """A worker's side. ``columns`` has one for each listener, in the order of the configuration."""

    def __init__(self, memory: memoryview, row: int, columns: Sequence[int]) -> None:
        self._cells: Final = memory.cast("B").cast("q")
        self._row: Final = row
        self.columns: Sequence[int] = columns

    def limit(self, listener: int, most: int, before: ConnectionLimit | None = None) -> ConnectionLimit:
        """The limit of a listener; without one its connections are counted all the same.

        ``before`` is that of a listener of the same name whose place it takes.

        A reload may set a limit, and what older workers still have counts then.

        Raises:
            ValueError: there is no room to count them, and there is a limit.
        """
        column = self.columns[listener]
        if self._row == _NONE or column == _NONE:
            if most >= 0:
                raise ValueError(
                    f"a connection limit can hold over {ROWS} workers and {COLUMNS} listeners at most, "
                    "those that drain included"
                )
            return ConnectionLimit(most, before=before)
        return ConnectionLimit(most, self._cells, self._row, column, before)
