"""Limits that hold over all processes of an instance, by memory that they share.

```
row 0      cell 0: how many rows below are in use or have been
row 1..    one for each worker process, written by it alone: a cell for each name, its connections now
the last   written by all: a cell for each name, the state of its bucket of tokens
```

Names are those of listeners and of network filters (``snapshot/limit_names.py``). A worker stores its count
when a connection comes or goes, and admits by the sum of all rows, those of draining generations included.
There is no lock: N workers that admit at the same moment exceed a limit by N - 1 at most, and so it is with
tokens.
The supervisor lends rows and columns, and clears the row of a process that has ended, however it ended.
"""

from collections.abc import Iterable, Mapping
from typing import Final

ROWS: Final = 1023  # worker processes at a time, of all generations
COLUMNS: Final = 4096  # names at a time, of all generations
SIZE: Final = (2 + ROWS) * COLUMNS * 8  # bytes; sparse, a worker uses one page for 512 names
_BUCKETS: Final = (1 + ROWS) * COLUMNS  # where the last row begins

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

    def lend_columns(self, names: Iterable[str]) -> dict[str, int]:
        """A column for each of a generation's names, the same for the same one.

        There is none for a listener without a name, to which no limit can be given, and where all are taken.
        """
        lent: dict[str, int] = {}
        for name in names:
            column = self._lend_column(name)
            if column != _NONE:
                lent[name] = column
        return lent

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
            free = (column for column in range(COLUMNS) if column not in taken and self._is_empty(column))
            column = next(free, _NONE)
            if column == _NONE:
                return _NONE
            self._cells[_BUCKETS + column] = 0
            self._columns[name] = column
            self._users[name] = 0
        self._users[name] += 1
        return self._columns[name]

    def _is_empty(self, column: int) -> bool:
        """A worker still counts what is left of a listener or chain that no configuration has any more."""
        cells = self._cells
        return not any(cells[COLUMNS + column : (1 + cells[0]) * COLUMNS : COLUMNS])


class ConnectionLimit:
    """How many connections there may be. Without shared memory the limit is this process's own."""

    def __init__(
        self,
        most: int,
        cells: memoryview | None = None,
        row: int = -1,
        column: int = -1,
        before: "ConnectionLimit | None" = None,
    ) -> None:
        """``most`` is -1 for no limit. ``before`` is that in whose place this one stands.

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


class TokenBucket:
    """So many tokens at most, and so many a second. Without shared memory it is this process's own.

    As in Envoy all that is known of it is one moment, since when it has been filling. It is full at first.
    """

    def __init__(self, most: int, rate: float, cells: memoryview | None = None, column: int = -1) -> None:
        self._most: Final = most
        self._interval: Final[float] = 1e9 / rate  # nanoseconds for a token
        self._cells: Final = cells
        self._at: Final = _BUCKETS + column
        self._since: int = 0  # nanoseconds; 0: it is full

    def take(self, now: float) -> bool:
        """Take a token, where there is one. ``now`` is the monotonic clock, which all processes share."""
        cells = self._cells
        moment = int(now * 1e9)
        since = self._since if cells is None else cells[self._at]
        tokens = float(self._most)
        if since:
            tokens = min(tokens, (moment - since) / self._interval)
        if tokens < 1.0:
            return False
        since = moment - int((tokens - 1.0) * self._interval) or 1
        if cells is None:
            self._since = since
        else:
            cells[self._at] = since
        return True


class LimitRow:
    """A worker's side. ``columns`` has those of the configuration by their names."""

    def __init__(self, memory: memoryview, row: int, columns: Mapping[str, int]) -> None:
        self._cells: Final = memory.cast("B").cast("q")
        self._row: Final = row
        self._filters: Final[dict[int, ConnectionLimit]] = {}  # the last of each column
        self.columns: Mapping[str, int] = columns

    def limit(self, name: str, most: int, before: ConnectionLimit | None = None) -> ConnectionLimit:
        """The limit of a listener; without one its connections are counted all the same.

        ``before`` is that of a listener of the same name whose place it takes.

        A reload may set a limit, and what older workers still have counts then.

        Raises:
            ValueError: there is no room to count them, and there is a limit.
        """
        if most < 0 and (self._row == _NONE or name not in self.columns):
            return ConnectionLimit(most, before=before)
        return ConnectionLimit(most, self._cells, self._row, self._column(name), before)

    def filter_limit(self, name: str, most: int) -> ConnectionLimit:
        """That of a network filter; another of the same name may drain. Raises as ``limit``."""
        column = self._column(name)
        made = ConnectionLimit(most, self._cells, self._row, column, self._filters.get(column))
        self._filters[column] = made
        return made

    def bucket(self, name: str, most: int, rate: float) -> TokenBucket:
        """That of a network filter. Raises as ``limit``."""
        return TokenBucket(most, rate, self._cells, self._column(name))

    def _column(self, name: str) -> int:
        column = self.columns.get(name, _NONE)
        if self._row == _NONE or column == _NONE:
            raise ValueError(
                f"limits can hold over {ROWS} workers and {COLUMNS} listeners and network filters at most, "
                "those that drain included"
            )
        return column
