"""Header fields of one message, in the order in which they arrived; names are lower-case bytes."""

from collections.abc import Iterator


class Headers:
    """An ordered multimap. Names given to its methods must be lower-case already.

    ``items`` is public because the codecs and the exchange read and build it in one pass.
    """

    __slots__ = ("items",)

    def __init__(self, items: list[tuple[bytes, bytes]] | None = None) -> None:
        self.items: list[tuple[bytes, bytes]] = [] if items is None else items

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.items)

    def get(self, name: bytes) -> bytes | None:
        """The first value under ``name``, or None."""
        for key, value in self.items:
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
                items[index] = (name, value)
                self.items = items[: index + 1] + [item for item in items[index + 1 :] if item[0] != name]
                return
        items.append((name, value))

    def remove(self, name: bytes) -> None:
        """Drop every field of this name; no error if there is none."""
        self.items = [item for item in self.items if item[0] != name]
