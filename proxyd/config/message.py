"""What every configuration message shares: the base Struct and the words that state its fields' rules.

A rule stands at the field it is for, once, as ``Annotated`` metadata: bounds and lengths as ``msgspec.Meta``
(so that they hold for whatever reaches a worker, too), and what only the loader knows (oneofs, durations,
integer widths, secrets) as the small marks of this module. ``binding`` reads them, nobody repeats them.

Fields follow one convention. A wrapped scalar or a message is ``None`` when unset, and its reader applies
Envoy's default; a plain proto3 scalar carries proto3's default; a repeated field is a tuple; a field without
a default is one that Envoy's validation demands.
"""

from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One protobuf message. ``proto`` is its full name, as type URLs spell it."""

    proto: ClassVar[str] = ""


class Oneof:
    """Marks the fields of which at most one (if ``required``, exactly one) may be set."""

    __slots__ = ("name", "required")

    def __init__(self, name: str, *, required: bool = False) -> None:
        self.name: Final = name
        self.required: Final = required


class Mark:
    """A fact about a field that its Python type does not tell."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def __repr__(self) -> str:
        return f"Mark({self.name})"


DURATION: Final = Mark("duration")  # google.protobuf.Duration, kept as seconds
UINT32: Final = Mark("uint32")
INT64: Final = Mark("int64")  # written as a string by proto JSON
SECRET: Final = Mark("secret")  # printed as "[redacted]" by every dump, not shown by mistakes
COMPUTED: Final = Mark("computed")  # filled in by the loader, not Envoy's, never read or written as text

# google.protobuf.Struct: any JSON object.
JsonObject = dict[str, Any]

UInt32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF), UINT32]
Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1), INT64]
# Envoy refuses every negative duration, and what its clock cannot count in nanoseconds.
MAX_SECONDS: Final = 9_223_372_035
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS), DURATION]
PositiveSeconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS), DURATION]

NonEmpty = Annotated[str, Meta(min_length=1)]

# Envoy's HTTP_HEADER_NAME and HTTP_HEADER_VALUE in their lax form: what could split a header is refused.
_NO_SPLITTING = Meta(pattern="^[^\0\n\r]*\\Z", extra={"says": "must not contain NUL, CR or LF"})
HeaderText = Annotated[str, _NO_SPLITTING]
# What goes into a request's first line.
PathText = Annotated[
    str, Meta(pattern=r"^[^\0-\x20\x7f]*\Z", extra={"says": "must not contain spaces or control characters"})
]
HeaderName = Annotated[str, Meta(min_length=1), _NO_SPLITTING]
# The name of a header that proxyd writes itself: a token (RFC 9110 section 5.1). Envoy is laxer.
HeaderToken = Annotated[
    str,
    Meta(min_length=1),
    Meta(
        pattern=r"^[-!#$%&'*+.^_`|~0-9A-Za-z]*\Z", extra={"says": "must be a header name: letters, digits, -"}
    ),
]
