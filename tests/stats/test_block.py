"""The shared block: what a reader sees while the writer works, when it is full, and when layouts differ."""

import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from proxyd.stats import block
from proxyd.stats.block import BlockReader, LayoutMismatchError
from proxyd.stats.metrics import PLAIN, Registry

SIZE = 1 << 18


def memory(size: int = SIZE) -> memoryview:
    return memoryview(bytearray(size))


def read_counters(reader: BlockReader) -> dict[str, int]:
    return {e.name: reader.value(e.cell) for e in reader.entries() if e.kind == block.COUNTER}


def test_a_block_not_begun_is_empty() -> None:
    reader = BlockReader(memory())
    assert not reader.begun()
    assert reader.entries() == []
    assert reader.pid == 0
    assert reader.heartbeat == 0.0


def test_published_values_are_read_and_unpublished_ones_are_not() -> None:
    shared = memory()
    registry = Registry(shared)
    counter = registry.counter("a.b")
    gauge = registry.gauge("g")
    histogram = registry.histogram("h", PLAIN)
    counter.value += 3
    gauge.value = -2
    histogram.record(7)
    histogram.record(1000)
    reader = BlockReader(shared.toreadonly())
    assert read_counters(reader) == {"a.b": 0}
    registry.publish()
    registry.heartbeat(12.5)
    cells = {entry.name: entry.cell for entry in reader.entries()}
    assert read_counters(reader) == {"a.b": 3}
    assert reader.value(cells["g"]) == -2
    recorded = reader.histogram(cells["h"])
    assert recorded is not None
    assert recorded[0] == 1007
    assert sum(recorded[1]) == 2
    assert reader.pid == os.getpid()
    assert reader.heartbeat == 12.5


def test_names_that_appear_later_are_found_by_the_same_reader() -> None:
    shared = memory()
    registry = Registry(shared)
    reader = BlockReader(shared)
    for number in range(100):
        registry.counter(f"c{number}").value = number
        registry.publish()
        assert read_counters(reader)[f"c{number}"] == number
    assert len(reader.entries()) == 100


def test_the_same_name_is_the_same_metric() -> None:
    registry = Registry(memory())
    assert registry.counter("a") is registry.counter("a")
    assert registry.gauge("b") is registry.gauge("b")
    assert registry.histogram("c") is registry.histogram("c")


def test_a_half_written_name_is_not_seen_until_it_is_whole() -> None:
    shared = memory()
    registry = Registry(shared)
    registry.counter("first").value = 1
    registry.publish()
    snapshot = bytes(shared)
    registry.counter("second.name.of.some.length").value = 2
    registry.publish()
    whole = bytes(shared)
    changed = [index for index in range(SIZE) if whole[index] != snapshot[index]]
    names_start = min(index for index in changed if index > 16 * 8 + 1000)
    # The header already covers the record, but some of its bytes are still the old ones.
    for cut in range(names_start, max(changed)):
        torn = bytearray(whole)
        torn[cut : max(changed) + 1] = snapshot[cut : max(changed) + 1]
        reader = BlockReader(memoryview(torn))
        assert [entry.name for entry in reader.entries()] == ["first"]
        torn[:] = whole
        assert [entry.name for entry in reader.entries()] == ["first", "second.name.of.some.length"]


def test_metrics_without_room_count_on_and_are_counted_as_dropped() -> None:
    shared = memory(1024)
    registry = Registry(shared)
    counters = [registry.counter(f"counter.{number}") for number in range(40)]
    histogram = registry.histogram("h")
    for counter in counters:
        counter.value += 1
    histogram.record(5)
    registry.publish()
    reader = BlockReader(shared)
    seen = read_counters(reader)
    assert 0 < len(seen) < 40
    assert set(seen.values()) == {1}
    assert reader.dropped == 41 - len(seen)


def test_a_name_too_long_is_dropped() -> None:
    shared = memory(1 << 20)
    Registry(shared).counter("n" * 70000).value += 1
    assert BlockReader(shared).entries() == []
    assert BlockReader(shared).dropped == 1


def test_names_need_not_be_text() -> None:
    shared = memory()
    name = b"cluster.\xff\xe9.x".decode("utf-8", "surrogateescape")
    Registry(shared).counter(name)
    assert [entry.name for entry in BlockReader(shared).entries()] == [name]


def test_another_layout_is_a_clear_error() -> None:
    shared = memory()
    Registry(shared)
    struct.pack_into("=q", shared, 2 * 8, 12345)
    with pytest.raises(LayoutMismatchError, match="layout 0x3039"):
        BlockReader(shared).begun()


def test_a_header_that_claims_more_than_there_is_is_an_error() -> None:
    shared = memory()
    Registry(shared)
    struct.pack_into("=q", shared, 5 * 8, 1 << 40)
    with pytest.raises(LayoutMismatchError, match="claims"):
        BlockReader(shared).begun()


def test_closed_reader_and_writer_let_the_memory_go() -> None:
    owner = bytearray(SIZE)
    with memoryview(owner) as shared:
        registry = Registry(shared)
        reader = BlockReader(shared)
        registry.close()
        reader.close()
    owner.clear()  # BufferError if somebody still held it


WRITER = """
import mmap, sys
from proxyd.stats.metrics import PLAIN, Registry
with open(sys.argv[1], "r+b") as file:
    memory = mmap.mmap(file.fileno(), 0)
registry = Registry(memoryview(memory))
histogram = registry.histogram("h", PLAIN)
counters = []
for step in range(1500):
    counters.append(registry.counter(f"counter.number.{step}.{'x' * (step % 40)}"))
    for counter in counters[-20:]:
        counter.value += 1 << 33
        registry.publish()
    histogram.record(step)
registry.publish()
"""


def test_another_process_reads_whole_names_and_rising_numbers_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "block"
    with path.open("w+b") as file:
        file.truncate(1 << 20)
        shared = mmap.mmap(file.fileno(), 0)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    reader = BlockReader(memoryview(shared))
    before: dict[str, int] = {}
    recorded = 0
    running = True
    while running:
        running = writer.poll() is None
        now = read_counters(reader)
        for step, name in enumerate(now):
            assert name == f"counter.number.{step}.{'x' * (step % 40)}"
            assert now[name] >= before.get(name, 0)
            assert now[name] % (1 << 33) == 0
        histogram = next((entry for entry in reader.entries() if entry.kind == block.HISTOGRAM_PLAIN), None)
        read = reader.histogram(histogram.cell) if histogram else None
        count = sum(read[1]) if read else 0
        assert count >= recorded
        before, recorded = now, count
    assert writer.returncode == 0
    assert len(before) == recorded == 1500
    reader.close()
