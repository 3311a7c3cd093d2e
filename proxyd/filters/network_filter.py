"""What a network filter in front of the last one is: the contract."""

from typing import Final

from proxyd.filters.connection_info import ConnectionInfo

# `NetworkFilter.on_new_connection`: go on, or so many seconds until the connection is closed.
GO_ON: Final = -1.0
AT_ONCE: Final = 0.0


class NetworkFilter:
    """One filter of a chain, for all connections that go through it."""

    def __init__(self, flags: int = 0) -> None:
        """``flags`` are the response flags of connections that it refuses."""
        self.flags: Final = flags

    def on_new_connection(self, info: ConnectionInfo) -> float:
        """GO_ON, or in how many seconds to close it."""
        return GO_ON

    def on_data(self, info: ConnectionInfo) -> bool:
        """Whether a connection may go on that has brought something, the first time or after ``again``."""
        return True

    def again(self) -> bool:
        """Whether it asks for ``on_data`` whenever something comes."""
        return False

    def on_closed(self) -> None:
        """A connection that was let through has closed."""
