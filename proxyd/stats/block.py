"""The memory layout of one process's statistics: one writer, any number of readers, no lock.

```
header   16 cells   magic, version, layout hash, pid, heartbeat, sizes, used counts (indexes below)
cells    n cells    counter: value | gauge: value, used | histogram: count, sum, one cell a bucket
names    m bytes    records, appended as metrics appear: length, checksum, first cell, kind, name
```

Every number is a signed 64-bit cell at an address divisible by 8, so a load or store is never torn. A record
is written whole before the count of used bytes in the header covers it, and carries a checksum, because no
memory barrier can be had from Python: a reader that sees half a record stops before it and finds it whole
next time. A histogram's count is stored after its buckets. The memory must be zeroed; pages never touched
cost nothing.
"""

import os
import struct
import sys
import zlib
from typing import Final

from proxyd.stats.histogram import BUCKETS, SUB_BUCKETS

# Kinds of metrics, as they stand in the name table.
COUNTER: Final = 1
GAUGE: Final = 2
SHARED_GAUGE: Final = 3
HISTOGRAM_MICROSECONDS: Final = 4
HISTOGRAM_PLAIN: Final = 5
ZERO_COUNTER: Final = 6  # no cell: a name that Envoy has and that stays 0
ZERO_GAUGE: Final = 7

HISTOGRAM_HEAD: Final = 2  # cells before the first bucket: count, sum

_CELLS_OF_KIND: Final = {
    COUNTER: 1,
    GAUGE: 2,
    SHARED_GAUGE: 2,
    HISTOGRAM_MICROSECONDS: HISTOGRAM_HEAD + BUCKETS,
    HISTOGRAM_PLAIN: HISTOGRAM_HEAD + BUCKETS,
    ZERO_COUNTER: 0,
    ZERO_GAUGE: 0,
}

# Header cells.
_MAGIC_AT: Final = 0
_VERSION_AT: Final = 1
_LAYOUT_AT: Final = 2
_PID_AT: Final = 3
_HEARTBEAT_AT: Final = 4  # monotonic nanoseconds
_CELLS_AT: Final = 5  # room for cells
_NAMES_AT: Final = 6  # room for names, bytes
_NAMES_USED_AT: Final = 7
_DROPPED_AT: Final = 8  # metrics that found no room
_PUBLISHED_AT: Final = 9  # how often
_HEADER_CELLS: Final = 16

_CELL: Final = 8
_RECORD: Final = struct.Struct("=IIQHB5x")  # length with padding, checksum, first cell, length of name, kind

MAGIC: Final = int.from_bytes(b"proxydst", "big")
VERSION: Final = 1
# Writer and reader may be of different versions of the code (a reload after an upgrade).
LAYOUT: Final = zlib.crc32(
    repr((_RECORD.format, _HEADER_CELLS, SUB_BUCKETS, sorted(_CELLS_OF_KIND.items()))).encode()
)

# Sparse: what is not used costs nothing. A cluster uses about 25 KiB for cells and 8 KiB for names, a
# listener less; a quarter of a block is for names.
DEFAULT_SIZE: Final = 64 << 20
_SIZE_PER_SCOPE: Final = 64 << 10


def size_for(scopes: int) -> int:
    """Bytes for a process whose configuration has this many clusters, listeners and hosts together."""
    return DEFAULT_SIZE + scopes * _SIZE_PER_SCOPE


class LayoutMismatchError(Exception):
    """The block was written by code with another memory layout; its numbers cannot be read."""


class BlockWriter:
    """The one writer of a block. ``memory`` is zeroed bytes, its length a multiple of 8, at least 1 KiB."""

    def __init__(self, memory: memoryview) -> None:
        assert memory.nbytes % _CELL == 0
        assert memory.nbytes >= 1024
        total = memory.nbytes // _CELL - _HEADER_CELLS
        names_cells = total // 4
        self._cells_room: Final = total - names_cells
        self._names_room: Final = names_cells * _CELL
        self._names_start: Final = (_HEADER_CELLS + self._cells_room) * _CELL
        self._bytes: Final = memory.cast("B")
        self._cells: Final = self._bytes.cast("q")
        self._cells_used = 0
        self._names_used = 0
        self._dropped = 0
        self._published = 0
        cells = self._cells
        cells[_VERSION_AT] = VERSION
        cells[_LAYOUT_AT] = LAYOUT
        cells[_PID_AT] = os.getpid()
        cells[_CELLS_AT] = self._cells_room
        cells[_NAMES_AT] = self._names_room
        cells[_MAGIC_AT] = MAGIC  # last: until then a reader takes the block for not yet begun

    def append(self, kind: int, name: str) -> int:
        """Add a metric to the table; its first cell, or -1 if there is no room or the name is too long."""
        encoded = name.encode("utf-8", "surrogateescape")
        size = _CELLS_OF_KIND[kind]
        length = _RECORD.size + -(-len(encoded) // _CELL) * _CELL
        if (
            self._cells_used + size > self._cells_room
            or self._names_used + length > self._names_room
            or len(encoded) > 0xFFFF
        ):
            self._dropped += 1
            self._cells[_DROPPED_AT] = self._dropped
            return -1
        cell = self._cells_used
        self._cells_used += size
        record = _RECORD.pack(length, _checksum(cell, kind, encoded), cell, len(encoded), kind) + encoded
        start = self._names_start + self._names_used
        self._bytes[start : start + len(record)] = record
        self._names_used += length
        self._cells[_NAMES_USED_AT] = self._names_used
        return cell

    def store(self, cell: int, value: int) -> None:
        """Set one cell; a cell of -1 (no room) is ignored."""
        if cell >= 0:
            self._cells[_HEADER_CELLS + cell] = value

    def published(self) -> None:
        """Count one round of publishing."""
        self._published += 1
        self._cells[_PUBLISHED_AT] = self._published

    def heartbeat(self, now_monotonic: float) -> None:
        """Say that the writer was alive at ``now_monotonic`` seconds."""
        self._cells[_HEARTBEAT_AT] = int(now_monotonic * 1e9)

    def close(self) -> None:
        """Release the memory; nothing may be called afterwards."""
        self._cells.release()
        self._bytes.release()


class Entry:
    """One row of a block's name table."""

    __slots__ = ("cell", "kind", "name")

    def __init__(self, name: str, kind: int, cell: int) -> None:
        self.name: Final = name
        self.kind: Final = kind
        self.cell: Final = cell


class BlockReader:
    """Reads a block at any time, while its writer works or after it was killed.

    Until the writer has begun, the block is empty. ``memory`` may be read-only.
    """

    def __init__(self, memory: memoryview) -> None:
        self._bytes: Final = memory.cast("B")
        self._cells: Final = self._bytes.cast("q")
        self._entries: Final[list[Entry]] = []
        self._names_read = 0
        self._begun = False

    def begun(self) -> bool:
        """Whether a writer has laid the block out; raises LayoutMismatchError if its layout is not ours."""
        if self._begun:
            return True
        cells = self._cells
        if cells[_MAGIC_AT] == 0:
            return False
        theirs = (cells[_MAGIC_AT], cells[_VERSION_AT], cells[_LAYOUT_AT])
        if theirs != (MAGIC, VERSION, LAYOUT):
            raise LayoutMismatchError(
                f"statistics block has magic {theirs[0]:#x}, version {theirs[1]}, layout {theirs[2]:#x}; "
                f"expected {MAGIC:#x}, {VERSION}, {LAYOUT:#x}"
            )
        size = (_HEADER_CELLS + cells[_CELLS_AT]) * _CELL + cells[_NAMES_AT]
        if cells[_CELLS_AT] < 0 or cells[_NAMES_AT] < 0 or size > len(self._bytes):
            raise LayoutMismatchError(f"statistics block claims {size} bytes and has {len(self._bytes)}")
        self._begun = True
        return True

    def entries(self, most: int = sys.maxsize) -> list[Entry]:
        """The name table as far as it is written; the same list at each call, longer as metrics appear.

        At most ``most`` new rows are read: half a million of them take more than a second.
        """
        if self.begun():
            used = min(self._cells[_NAMES_USED_AT], self._cells[_NAMES_AT])
            start = (_HEADER_CELLS + self._cells[_CELLS_AT]) * _CELL
            enough = len(self._entries) + most
            while self._names_read < used and len(self._entries) < enough:
                entry, length = self._parse(start + self._names_read, start + used)
                if entry is None:
                    break
                self._entries.append(entry)
                self._names_read += length
        return self._entries

    def value(self, cell: int) -> int:
        """What stands in a cell, counted from the first one after the header."""
        return self._cells[_HEADER_CELLS + cell]

    def histogram(self, cell: int) -> tuple[int, list[int]] | None:
        """Sum and counts of the buckets, or None where nothing was recorded."""
        first = _HEADER_CELLS + cell
        if self._cells[first] == 0:
            return None
        buckets = first + HISTOGRAM_HEAD
        return self._cells[first + 1], self._cells[buckets : buckets + BUCKETS].tolist()

    @property
    def pid(self) -> int:
        """Process id of the writer, 0 before it has begun."""
        return self._cells[_PID_AT]

    @property
    def heartbeat(self) -> float:
        """Monotonic seconds of the writer's last heartbeat, 0.0 before the first."""
        return self._cells[_HEARTBEAT_AT] / 1e9

    @property
    def dropped(self) -> int:
        """How many metrics found no room."""
        return self._cells[_DROPPED_AT]

    def close(self) -> None:
        """Release the memory; nothing may be called afterwards."""
        self._cells.release()
        self._bytes.release()

    def _parse(self, start: int, end: int) -> tuple[Entry | None, int]:
        if start + _RECORD.size > end:
            return None, 0
        length, checksum, cell, name_length, kind = _RECORD.unpack_from(self._bytes, start)
        name_start = start + _RECORD.size
        if length < _RECORD.size + name_length or start + length > end or kind not in _CELLS_OF_KIND:
            return None, 0
        encoded = bytes(self._bytes[name_start : name_start + name_length])
        if checksum != _checksum(cell, kind, encoded) or cell + _CELLS_OF_KIND[kind] > self._cells[_CELLS_AT]:
            return None, 0
        return Entry(encoded.decode("utf-8", "surrogateescape"), kind, cell), length


def _checksum(cell: int, kind: int, encoded: bytes) -> int:
    return zlib.crc32(encoded, (cell << 8 | kind) & 0xFFFFFFFF)
