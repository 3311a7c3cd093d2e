"""What both HTTP/1 readers know of fields, limits and their parser, httptools."""

from typing import Final

import httptools

from proxyd.codec.framing import FRAMING_FIELDS

# The lower-case form of names that no rule is about: names repeat, and one look tells all there is to know.
# Peers choose names: the table is bounded in both directions.
ORDINARY: Final[dict[bytes, bytes]] = {}
_LIMIT: Final = 2048
_LONGEST: Final = 64
# Longer ones are not kept by each connection for the next message.
LONGEST_BLOCK: Final = 2048
OWS: Final = b" \t"
FIELD_BYTES: Final = len(b": \r\n")
CONTROLS: Final = bytes(code for code in range(32) if code not in b"\t\r\n") + b"\x7f"


def lower_name(name: bytes) -> bytes:
    """The lower-case form of a name that was not found in ORDINARY; kept there if no rule is about it."""
    lower = name.lower()
    if len(name) <= _LONGEST and lower not in FRAMING_FIELDS and b"_" not in lower:
        if len(ORDINARY) >= _LIMIT:
            ORDINARY.clear()
        ORDINARY[name] = lower
    return lower


class Refused(Exception):  # noqa: N818 - ends a parser's run, is no error of this program
    """Stops the parser from inside a callback; the reason stands in the reader."""


def raise_bug(error: httptools.HttpParserError) -> None:
    """Let out what is no refusal: the parser takes all that its callbacks raise for malformed input."""
    cause = error.__context__
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, Refused):
        raise cause or error
