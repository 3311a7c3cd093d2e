"""The memory by which connection limits hold over all workers; ``net.limits`` has what stands in it."""

from typing import Final

from proxyd.net.limits import SIZE, LimitTable
from proxyd.system import native


class Limits:
    """One for an instance, as long as it lives. Raises OSError where it cannot be had."""

    def __init__(self, inherited: int | None = None) -> None:
        """``inherited`` is the memory of the instance that this one takes over from."""
        made = native.create_memory("proxyd-limits", SIZE) if inherited is None else inherited
        self.descriptor: Final = made
        self.table: Final = LimitTable(memoryview(native.map_memory(self.descriptor)))
