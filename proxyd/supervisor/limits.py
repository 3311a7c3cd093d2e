"""The memory by which connection limits hold over all workers; ``net.limits`` has what stands in it."""

from typing import Final

from proxyd.net.limits import SIZE, LimitTable
from proxyd.system import native


class Limits:
    """One for an instance, as long as it lives. Raises OSError where it cannot be had."""

    def __init__(self) -> None:
        self.descriptor: Final = native.create_memory("proxyd-limits", SIZE)
        self.table: Final = LimitTable(memoryview(native.map_memory(self.descriptor)))
