"""Header fields of one message, in the order in which they arrived; names are lower-case bytes."""

from collections.abc import Iterator
from typing import Final

# Of a name and a value: their line, without its end.
_FIELD: Final = b": ".join


class HeaderBlock:
    """Fields that one message brought and the next may bring again: worked out once, never changed."""

    __slots__ = ("count", "items", "known", "memo", "wire")

    def __init__(self, items: list[tuple[bytes, bytes]], wire: bytes) -> None:
        """``wire`` is the fields as they are written, each with its end of line."""
        self.items: Final = items
        self.count: Final = len(items)
        self.wire: Final = wire
        self.memo: object | None = None  # what one user keeps for the next message with these fields
        self.known: dict[bytes, bytes] = {}  # index(), once it was asked for

    def index(self) -> dict[bytes, bytes]:
        """The first value of every name."""
        self.known = dict(reversed(self.items))
        return self.known


class Headers:
    """An ordered multimap. Names given to its methods must be lower-case already.

    ``items`` is public because the codecs and the exchange read and build it in one pass. It may be replaced
    and appended to; everything else goes through the methods, which know when the fields are not those of a
    block any more.
    """

    __slots__ = ("_block", "_shared", "items")

    def __init__(
        self, items: list[tuple[bytes, bytes]] | None = None, block: HeaderBlock | None = None
    ) -> None:
        """``items`` begins with the fields of ``block``, where there is one."""
        if items is None:
            items = []
        self.items: list[tuple[bytes, bytes]] = items
        self._block: HeaderBlock | None = block
        self._shared: list[tuple[bytes, bytes]] = items  # the list that begins like the block

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.items)

    def share(self, block: HeaderBlock) -> None:
        """Become the fields of ``block``, to which others may be appended."""
        items = block.items.copy()
        self.items = items
        self._shared = items
        self._block = block

    def block(self) -> HeaderBlock | None:
        """The block with which the fields begin, or None where they are nobody else's."""
        return self._block if self._shared is self.items else None

    def get(self, name: bytes) -> bytes | None:
        """The first value under ``name``, or None."""
        items = self.items
        block = self._block
        if block is not None and self._shared is items:
            value = (block.known or block.index()).get(name)
            if value is not None:
                return value
            if len(items) == block.count:
                return None
            items = items[block.count :]
        for key, value in items:
            if key == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value under ``name``, in order."""
        return [value for key, value in self.items if key == name]

    def add(self, name: bytes, value: bytes) -> None:
        """Append a field, leaving others of the same name alone."""
        self.items.append((name, value))

    def set(self, name: bytes, value: bytes) -> None:
        """Make ``value`` the only one under ``name``; it takes the first one's place, else the last."""
        items = self.items
        for index, (key, _) in enumerate(items):
            if key == name:
                rest = [item for item in items[index + 1 :] if item[0] != name]
                self.items = [*items[:index], (name, value), *rest]
                return
        items.append((name, value))

    def remove(self, name: bytes) -> None:
        """Drop every field of this name; no error if there is none."""
        items = self.items
        for key, _ in items:
            if key == name:
                self.items = [item for item in items if item[0] != name]
                return

    def wire(self) -> bytes:
        """The fields as HTTP/1 writes them, each with its end of line."""
        items = self.items
        block = self._block
        if block is None or self._shared is not items:
            return write_fields(items)
        if len(items) == block.count:
            return block.wire
        lines = list(map(_FIELD, items[block.count :]))
        lines.append(b"")
        return block.wire + b"\r\n".join(lines)


# Of a message that has not come. Nobody changes it; who has fields makes Headers of them.
NO_HEADERS: Final = Headers()


def write_fields(items: list[tuple[bytes, bytes]]) -> bytes:
    """These fields, each with its end of line; empty for none."""
    return b"\r\n".join([*map(_FIELD, items), b""]) if items else b""
