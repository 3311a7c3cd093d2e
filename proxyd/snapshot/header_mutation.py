"""What a configuration does to headers: the ``*_headers_to_add`` and ``*_headers_to_remove`` of one level.

As in Envoy, one level removes first, then works out every value, and then overwrites before it adds: no
addition of a level sees another one of the same level. What is missing in a value leaves nothing there.
"""

from typing import Final

from proxyd.codec.headers import Headers
from proxyd.config.core import HeaderAppendAction, HeaderValueOption
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.formatter import Formatter, compile_text
from proxyd.snapshot.one_line import ONE_LINE_IN_REQUESTS, ONE_LINE_IN_RESPONSES

_APPEND: Final = 0
_ADD_IF_ABSENT: Final = 1
_OVERWRITE_OR_ADD: Final = 2
_OVERWRITE_IF_EXISTS: Final = 3
_ACTIONS: Final = {
    HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD: _APPEND,
    HeaderAppendAction.ADD_IF_ABSENT: _ADD_IF_ABSENT,
    HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD: _OVERWRITE_OR_ADD,
    HeaderAppendAction.OVERWRITE_IF_EXISTS: _OVERWRITE_IF_EXISTS,
}

# A value may hold what a client has percent-encoded: it must not end the field.
_BREAKING: Final = b"\0\r\n"


class Addition:
    """One header to add: ``literal``, or what ``formatter`` makes of the request."""

    __slots__ = ("action", "formatter", "keep_empty", "literal", "name")

    def __init__(
        self, name: bytes, action: int, literal: bytes, formatter: Formatter | None, keep_empty: bool
    ) -> None:
        self.name: Final = name
        self.action: Final = action
        self.literal: Final = literal
        self.formatter: Final = formatter
        self.keep_empty: Final = keep_empty

    def value(self, info: StreamInfo) -> bytes:
        """The value for this request; empty where there is none."""
        if self.formatter is None:
            return self.literal
        value = self.formatter.format(info)
        if b"\n" in value or b"\r" in value or b"\0" in value:
            value = value.translate(None, _BREAKING)
        return value


class HeaderMutation:
    """The mutations of one level, compiled."""

    __slots__ = ("_additions", "_one_line", "_removals", "_request_id")

    def __init__(
        self, additions: list[Addition], removals: frozenset[bytes], one_line: frozenset[bytes]
    ) -> None:
        """``one_line``: the fields to which values are joined."""
        self._additions: Final = additions
        self._removals: Final = removals
        self._one_line: Final = one_line
        names = {addition.name for addition in additions} | removals
        self._request_id: Final = one_line is ONE_LINE_IN_REQUESTS and b"x-request-id" in names

    def apply(self, headers: Headers, info: StreamInfo) -> None:
        """Change ``headers``, the request's or the response's of ``info``."""
        removals = self._removals
        if removals:
            headers.items = [item for item in headers.items if item[0] not in removals]
        if self._additions:
            self._add(headers, info)
        if self._request_id:
            info.request_id = headers.get(b"x-request-id") or b""

    def _add(self, headers: Headers, info: StreamInfo) -> None:
        overwriting: list[tuple[bytes, bytes]] = []
        adding: list[tuple[bytes, bytes]] = []
        for addition in self._additions:
            value = addition.value(info)
            if not value and not addition.keep_empty:
                continue
            name = addition.name
            action = addition.action
            if action == _APPEND:
                adding.append((name, value))
            elif action == _OVERWRITE_OR_ADD:
                overwriting.append((name, value))
            elif (headers.get(name) is None) == (action == _ADD_IF_ABSENT):
                (adding if action == _ADD_IF_ABSENT else overwriting).append((name, value))
        for name, value in overwriting:
            headers.set(name, value)
        for name, value in adding:
            if name in self._one_line:
                headers.set(name, b",".join(filter(None, [*headers.get_all(name), value])))
            else:
                headers.items.append((name, value))


class AttemptCount(HeaderMutation):
    """``x-envoy-attempt-count``, once a request has a cluster. Without retries there is one attempt."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__([], frozenset(), frozenset())

    def apply(self, headers: Headers, info: StreamInfo) -> None:
        if info.upstream_cluster:
            headers.set(b"x-envoy-attempt-count", b"1")


def compile_request_mutation(
    to_add: tuple[HeaderValueOption, ...], to_remove: tuple[str, ...]
) -> HeaderMutation | None:
    """The request mutations of one level; None for none. Raises FormatError."""
    return _compile(to_add, to_remove, ONE_LINE_IN_REQUESTS)


def compile_response_mutation(
    to_add: tuple[HeaderValueOption, ...], to_remove: tuple[str, ...]
) -> HeaderMutation | None:
    """The response mutations of one level; None for none. Raises FormatError."""
    return _compile(to_add, to_remove, ONE_LINE_IN_RESPONSES)


def _compile(
    to_add: tuple[HeaderValueOption, ...], to_remove: tuple[str, ...], one_line: frozenset[bytes]
) -> HeaderMutation | None:
    if not to_add and not to_remove:
        return None
    removals = frozenset(name.lower().encode() for name in to_remove)
    return HeaderMutation([_addition(option) for option in to_add], removals, one_line)


def _addition(option: HeaderValueOption) -> Addition:
    action = _ACTIONS[option.append_action]
    if option.append is False:
        action = _OVERWRITE_OR_ADD
    literal, formatter = compile_value(option.header.value)
    return Addition(option.header.key.lower().encode(), action, literal, formatter, option.keep_empty_value)


def compile_value(text: str) -> tuple[bytes, Formatter | None]:
    """A header's value as a literal or, where it has command operators, a formatter. Raises FormatError."""
    if "%" not in text:
        return text.encode(), None
    return b"", compile_text(text, omit_empty=True)
