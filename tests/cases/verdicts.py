"""The two verdicts on a message."""

from typing import NamedTuple


class Accept(NamedTuple):
    """It goes on. ``bodies`` is the body of each request that follows, or of the one response."""

    bodies: tuple[bytes, ...] = (b"",)
    status: int = 200
    at_close: bool = False  # a response that only the close of its connection ends

    @property
    def requests(self) -> int:
        return len(self.bodies)


class Refuse(NamedTuple):
    """Nothing of it goes on as a message. ``status`` is the first answer; 0: none, or a response cut off."""

    status: int = 400
