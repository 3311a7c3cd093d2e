"""Envoy's substitution format strings, compiled at load.

A text format becomes a flat list of parts, literal or operator. A JSON format becomes a tree of the same
parts, its keys sorted, in which a string that is one operator alone keeps the operator's type.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from proxyd.codec.decimal import DIGITS, SMALL
from proxyd.config.core import SubstitutionFormatString
from proxyd.errors import flags_text
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.operators import FormatError, compile_operator
from proxyd.snapshot.sources import Source, Value
from proxyd.snapshot.time_format import DEFAULT_TIME, TimeFormat

__all__ = ["DEFAULT_FORMAT", "FormatError", "Formatter", "compile_format", "compile_json", "compile_text"]

DEFAULT_FORMAT: Final = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" '
    '"%UPSTREAM_HOST%"\n'
)

_COMMAND: Final = re.compile(r"%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]+))?%")
# What Envoy writes as \u00xx, byte by byte, in a value that is no UTF-8
_NOT_PLAIN: Final = re.compile(rb"[^\x20-\x7e]|[\"\\]")
_NOT_LOGGABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

# What the default line has between the point of its time and its method
_MILLISECONDS: Final = [b'%03dZ] "' % milliseconds for milliseconds in range(1000)]

JsonFormat = Mapping[str, object]


class Formatter:
    """Turns the facts of a request into bytes."""

    def format(self, info: StreamInfo) -> bytes:
        """The formatted text of this request, values as they are."""
        raise NotImplementedError

    def format_line(self, info: StreamInfo) -> bytes:
        """The same for a log: no value can break the line or start one of its own."""
        return self.format(info)


class Part:
    """A piece of a text format: a literal, or an operator with what stands for a missing value."""

    __slots__ = ("literal", "missing", "source")

    def __init__(self, literal: bytes, source: Source | None = None, missing: bytes = b"-") -> None:
        self.literal: Final = literal
        self.source: Final = source
        self.missing: Final = missing

    def text(self, info: StreamInfo) -> bytes:
        """The bytes of this piece for this request."""
        source = self.source
        if source is None:
            return self.literal
        value = source.get(info)
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            return value.encode("utf-8", "replace")
        if value is None:
            return self.missing
        return b"%d" % value


class TextFormatter(Formatter):
    """A compiled ``text_format_source``."""

    def __init__(self, parts: list[Part]) -> None:
        self._parts: Final = parts
        self._newlines: Final = sum(part.literal.count(b"\n") for part in parts)

    def format(self, info: StreamInfo) -> bytes:
        return b"".join([part.text(info) for part in self._parts])

    def format_line(self, info: StreamInfo) -> bytes:
        line = self.format(info)
        if line.count(b"\n") == self._newlines:
            return line
        return b"".join(
            [part.literal if part.source is None else _printable(part.text(info)) for part in self._parts]
        )


class DefaultFormatter(Formatter):
    """DEFAULT_FORMAT written out by hand: the line that most requests end in."""

    def __init__(self) -> None:
        self._times: Final = TimeFormat(DEFAULT_TIME)
        self._second: int = -1
        self._written: bytes = b""

    def format(self, info: StreamInfo) -> bytes:
        micros = int(info.start_time * 1_000_000 + 0.5)
        second = micros // 1_000_000
        if second != self._second:
            self._written = b"[" + self._times.format(second)[:-4].encode()  # up to the milliseconds
            self._second = second
        fields = info.request_headers
        start = info.start
        end = info.end
        taken = int((end - start) * 1000) if start and end else -1
        received = info.bytes_received
        sent = info.bytes_sent
        flags = info.response_flags
        code = info.response_code
        if not flags and not received and code == 200 and info.protocol == "HTTP/1.1":
            outcome = b' HTTP/1.1" 200 - 0 '
        else:
            outcome = (
                f' {info.protocol or "-"}" {code} {flags_text(flags) if flags else "-"} {received} '
            ).encode()
        return b"".join(
            [
                self._written,
                _MILLISECONDS[micros % 1_000_000 // 1000],
                info.method or b"-",
                b" ",
                info.original_path or info.path or b"-",
                outcome,
                DIGITS[sent] if sent < SMALL else b"%d" % sent,
                b" ",
                DIGITS[taken] if 0 <= taken < SMALL else b"%d" % taken if taken > 0 else b"-",
                b" ",
                info.response_headers.get(b"x-envoy-upstream-service-time") or b"-",
                b' "',
                fields.get(b"x-forwarded-for") or b"-",
                b'" "',
                fields.get(b"user-agent") or b"-",
                b'" "',
                info.request_id or fields.get(b"x-request-id") or b"-",
                b'" "',
                info.authority or b"-",
                b'" "',
                info.upstream_host.encode() or b"-",
                b'"\n',
            ]
        )

    def format_line(self, info: StreamInfo) -> bytes:
        line = self.format(info)
        if line.find(b"\n") == len(line) - 1:
            return line
        return _printable(line[:-1]) + b"\n"


class JsonNode:
    """A piece of a JSON format."""

    def render(self, info: StreamInfo) -> bytes | None:
        """JSON text; None where there is nothing to say."""
        raise NotImplementedError


class JsonLiteral(JsonNode):
    def __init__(self, text: bytes | None) -> None:
        self._text: Final = text

    def render(self, info: StreamInfo) -> bytes | None:
        return self._text


class JsonOperator(JsonNode):
    """A string that is one operator alone: numbers stay numbers."""

    def __init__(self, source: Source) -> None:
        self._source: Final = source

    def render(self, info: StreamInfo) -> bytes | None:
        return _to_json(self._source.get(info))


class JsonText(JsonNode):
    """A string with more than one operator, or with text around it."""

    def __init__(self, parts: list[Part]) -> None:
        self._parts: Final = parts

    def render(self, info: StreamInfo) -> bytes | None:
        return _to_json(b"".join([part.text(info) for part in self._parts]))


class JsonObject(JsonNode):
    def __init__(self, items: list[tuple[bytes, JsonNode]], omit_empty: bool) -> None:
        self._items: Final = items
        self._omit_empty: Final = omit_empty

    def render(self, info: StreamInfo) -> bytes | None:
        pieces: list[bytes] = []
        for key, node in self._items:
            text = node.render(info)
            if text is not None:
                pieces.append(key + text)
            elif not self._omit_empty:
                pieces.append(key + b"null")
        if not pieces and self._omit_empty:
            return None
        return b"{" + b",".join(pieces) + b"}"


class JsonList(JsonNode):
    def __init__(self, nodes: list[JsonNode], omit_empty: bool) -> None:
        self._nodes: Final = nodes
        self._omit_empty: Final = omit_empty

    def render(self, info: StreamInfo) -> bytes | None:
        pieces: list[bytes] = []
        for node in self._nodes:
            text = node.render(info)
            if text is not None:
                pieces.append(text)
            elif not self._omit_empty:
                pieces.append(b"null")
        if not pieces and self._omit_empty:
            return None
        return b"[" + b",".join(pieces) + b"]"


class JsonFormatter(Formatter):
    """A compiled ``json_format``: one object and a line feed."""

    def __init__(self, root: JsonNode) -> None:
        self._root: Final = root

    def format(self, info: StreamInfo) -> bytes:
        return (self._root.render(info) or b"{}") + b"\n"


def compile_format(source: SubstitutionFormatString | None) -> Formatter:
    """The formatter of an access log; None stands for Envoy's default format. Raises FormatError."""
    if source is None:
        return compile_text(DEFAULT_FORMAT)
    if source.json_format is not None:
        return compile_json(source.json_format, source.omit_empty_values)
    if source.text_format_source is None:
        return compile_text(DEFAULT_FORMAT, source.omit_empty_values)
    text = source.text_format_source.contents
    return compile_text(text.decode("utf-8", "surrogateescape"), source.omit_empty_values)


def compile_text(text: str, omit_empty: bool = False) -> Formatter:
    """The formatter of a format string; with ``omit_empty`` a missing value leaves nothing instead of ``-``.

    Raises FormatError, naming the operator, for what cannot be compiled.
    """
    if text == DEFAULT_FORMAT and not omit_empty:
        return DefaultFormatter()
    return TextFormatter(_parts(text, omit_empty))


def compile_json(fields: JsonFormat, omit_empty: bool = False) -> Formatter:
    """The formatter of a JSON format: strings are format strings, other values stand as they are.

    With ``omit_empty`` missing values are left out, and so are objects and lists that had nothing else.
    Raises FormatError.
    """
    return JsonFormatter(_json_node(fields, omit_empty))


def _parts(text: str, omit_empty: bool) -> list[Part]:
    missing = b"" if omit_empty else b"-"
    parts: list[Part] = []
    literal = ""
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            percent = len(text)
        literal += text[position:percent]
        position = percent
        if text.startswith("%%", position):
            literal += "%"
            position += 2
        elif position < len(text):
            command = _COMMAND.match(text, position)
            if command is None:
                raise FormatError(
                    f"no operator at position {position} of {text!r}: "
                    "write %NAME%, %NAME(parameter)% or %NAME(parameter):length%, and %% for a percent sign"
                )
            if literal:
                parts.append(Part(literal.encode("utf-8", "surrogateescape")))
                literal = ""
            name, parameter, length = command.group(1), command.group(2), command.group(3)
            source = compile_operator(name, parameter, -1 if length is None else int(length))
            parts.append(Part(b"", source, missing))
            position = command.end()
    if literal:
        parts.append(Part(literal.encode("utf-8", "surrogateescape")))
    return parts


def _json_node(value: object, omit_empty: bool) -> JsonNode:
    if isinstance(value, str):
        parts = _parts(value, omit_empty)
        if len(parts) == 1 and parts[0].source is not None:
            return JsonOperator(parts[0].source)
        if any(part.source is not None for part in parts):
            return JsonText(parts)
        return JsonLiteral(_to_json(b"".join([part.literal for part in parts])))
    if isinstance(value, Mapping):
        items: list[tuple[bytes, JsonNode]] = []
        for key in sorted(value):
            name = json.dumps(key, ensure_ascii=False).encode("utf-8", "replace")
            items.append((name + b":", _json_node(value[key], omit_empty)))
        return JsonObject(items, omit_empty)
    if isinstance(value, (list, tuple)):
        return JsonList([_json_node(item, omit_empty) for item in value], omit_empty)
    if value is None:
        return JsonLiteral(None)
    return JsonLiteral(json.dumps(value).encode())


def _to_json(value: Value) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return b'"%b"' % _NOT_PLAIN.sub(_unicode_escaped, value)
    else:
        text = value
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")


def _unicode_escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % found.group()[0]


def _printable(value: bytes) -> bytes:
    return _NOT_LOGGABLE.sub(_escaped, value)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % found.group()[0]
