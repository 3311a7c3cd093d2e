"""Nodes to the values that are no messages: words, numbers, enums, durations, free-form objects.

The reader also keeps the notes: which mistakes were made, and at which field path reading is now.
"""

from collections.abc import Mapping as Environment
from typing import Any, Final, NoReturn

from proxyd.config import facts, scalars
from proxyd.config.environment import substitute
from proxyd.config.look import Looks
from proxyd.config.mistakes import NOT_SUPPORTED, Mistake, did_you_mean, quote
from proxyd.config.nodes import Mapping, Node, Scalar, Sequence
from proxyd.config.schema import Field, Kind, Shape

_READERS: Final = {
    Kind.STRING: scalars.read_string,
    Kind.BOOL: scalars.read_bool,
    Kind.INT: scalars.read_int,
    Kind.NUMBER: scalars.read_number,
    Kind.DURATION: scalars.read_duration,
    Kind.BYTES: scalars.read_bytes,
}
# Of a secret: even the name may be a part of it, such as of the password "a${b}".
_NO_REFERENCE: Final = '"${" is followed by no environment variable that is set (write "$${" for "${")'


class Refused(Exception):  # noqa: N818 - no error: the mistake has been noted
    """A value that could not be read; the mistake has been noted."""


class Reader:
    """Reads values of one tree. ``mistakes`` fills as it goes; ``environment`` answers ``${VAR}``.

    ``looks`` takes what files beside the text were before they were read.
    """

    def __init__(self, environment: Environment[str, str], looks: Looks | None = None) -> None:
        self.environment: Final = environment
        self.looks: Final = looks
        self.mistakes: Final[list[Mistake]] = []
        self.trail: Final[list[str]] = []  # the path in pieces: ".name", "[0]"
        self.secret = False  # whether reading is below a field that holds a secret: nothing there is shown

    def note(self, node: Node, message: str, unreadable: bool = False) -> None:
        """Add a mistake about the node, at the path where reading is."""
        path = "".join(self.trail).removeprefix(".")
        self.mistakes.append(Mistake(node.source, node.line, node.column, path, message, unreadable))

    def refuse(self, node: Node, message: str, unreadable: bool = True) -> NoReturn:
        """Add a mistake and give up on the value."""
        self.note(node, message, unreadable)
        raise Refused

    def text(self, node: Scalar) -> tuple[str, bool]:
        """The text with the environment's values in it; it stays plain, ``${PORT}`` may become a number."""
        if "${" not in node.text:
            return node.text, node.plain
        try:
            return substitute(node.text, self.environment), node.plain
        except ValueError as error:
            self.refuse(node, _NO_REFERENCE if self.secret else str(error))

    def describe(self, node: Node) -> str:
        """What stands there, for a message that says what was expected."""
        return describe(node, self.secret)

    def value(self, field: Field, node: Node) -> Any:
        """One value of a field that holds no messages, checked against the field's rules."""
        if field.kind is Kind.JSON:
            if not isinstance(node, Mapping):
                self.refuse(node, f"expected a mapping, got {self.describe(node)}")
            return self._json(node)
        if field.kind is Kind.DURATION and isinstance(node, Mapping):
            value: Any = self._duration_message(node)
        elif isinstance(node, Scalar):
            value = self._scalar(field, node)
        else:
            self.refuse(node, f"expected {field.kind.value}, got {self.describe(node)}")
        rules = field.rules if field.shape is Shape.ONE else field.item_rules
        if broken := scalars.broken_rule(value, rules, "s" if field.kind is Kind.DURATION else ""):
            self.note(node, broken)
        return value

    def _scalar(self, field: Field, node: Scalar) -> Any:
        text, plain = self.text(node)
        try:
            if field.kind is Kind.ENUM:
                return _read_enum(field, text)
            # A variable that holds digits is a string where one is asked for.
            substituted = field.kind is Kind.STRING and "${" in node.text
            return _READERS[field.kind](text, plain and not substituted)
        except ValueError as error:
            words = str(error)
            if self.secret and words != scalars.NO_CHARACTER:
                hint = " (put it in quotes)" if field.kind is Kind.STRING else ""
                words = f"expected {field.kind.value}, got {scalars.describe(text, plain, True)}{hint}"
            # To Envoy a word that no enum has is an unknown field, not a text that cannot be read.
            self.refuse(node, words, unreadable=field.kind is not Kind.ENUM)

    def _duration_message(self, node: Mapping) -> float:
        """``{seconds: 1, nanos: 500000000}``, which Envoy takes as well."""
        parts = {"seconds": 0, "nanos": 0}
        for key, child in node.entries:
            if key.text not in parts or not isinstance(child, Scalar):
                self.refuse(key, f"expected {Kind.DURATION.value}")
            try:
                parts[key.text] = scalars.read_int(*self.text(child))
            except ValueError as error:
                self.refuse(child, str(error))
        if abs(parts["seconds"]) > 10**12 or not 0 <= parts["nanos"] < 10**9:
            self.refuse(node, "out of range")
        return parts["seconds"] + parts["nanos"] / 1e9

    def _json(self, node: Node) -> Any:
        if isinstance(node, Scalar):
            return self._json_scalar(node)
        if isinstance(node, Sequence):
            return [self._json(item) for item in node.items]
        assert isinstance(node, Mapping)
        values: dict[str, Any] = {}
        for key, child in node.entries:
            if key.text in values:
                self.refuse(key, f"duplicate key {quote(key.text)}")
            values[key.text] = self._json(child)
        return values

    def _json_scalar(self, node: Scalar) -> str | int | float | bool | None:
        text, plain = self.text(node)
        value = scalars.resolve(text) if plain else text
        if isinstance(value, str):
            try:
                return scalars.read_string(value, False)
            except ValueError as error:
                self.refuse(node, str(error))
        if isinstance(value, int | float) and not -(2.0**53) <= value <= 2.0**53:
            self.refuse(node, "numbers in a free-form value are finite and have at most 53 bits")
        return value


def _read_enum(field: Field, text: str) -> Any:
    enumeration = field.choices[0]
    for name, member in enumeration.__members__.items():
        if name.upper() == text.upper():  # Envoy takes any case
            return member
    known = facts.enum_values(field.proto, field.name)
    if text.isascii() and text.isdecimal() and len(text) < 12:
        number = int(text)
        if number in iter(enumeration):
            return enumeration(number)
        text = next((name for name, value in known.items() if value == number), text)
    supported = ", ".join(enumeration.__members__)
    meant = next((name for name in known if name.upper() == text.upper()), None)
    if meant is not None:
        raise ValueError(f"{meant} is {NOT_SUPPORTED} (supported: {supported})")
    # A name that would be refused is of no help where one that is accepted is near as well.
    hint = did_you_mean(text, enumeration.__members__) or did_you_mean(text, known)
    raise ValueError(f"unknown value {quote(text)}{hint or f' (supported: {supported})'}")


def is_null(node: Node) -> bool:
    """Whether the node leaves its field unset."""
    return isinstance(node, Scalar) and node.plain and node.text in scalars.NULLS


def describe(node: Node, secret: bool = False) -> str:
    """What stands there, for a message that says what was expected; of a secret only what kind of thing."""
    if isinstance(node, Scalar):
        return scalars.describe(node.text, node.plain, secret)
    return "a list" if isinstance(node, Sequence) else "a mapping"
