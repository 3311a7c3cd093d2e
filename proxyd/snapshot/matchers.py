"""What a route may ask of a request besides its path: headers and query parameters.

Each matcher is one small class with one ``matches`` method, chosen at load; a new kind of matcher is a new
class here and a new attribute of ``Conditions``.
"""

from typing import Final

from proxyd.codec.grpc import is_grpc
from proxyd.codec.headers import Headers
from proxyd.snapshot.one_line import ONE_LINE_IN_REQUESTS
from proxyd.snapshot.regex import Regex

# StringMatcher.kind
EXACT: Final = 0
PREFIX: Final = 1
SUFFIX: Final = 2
CONTAINS: Final = 3
ANY: Final = 4  # being there is enough

# Where a header matcher's value comes from
_FIELD: Final = 0
_METHOD: Final = 1
_PATH: Final = 2
_AUTHORITY: Final = 3
_SCHEME: Final = 4
_SOURCES: Final = {
    b":method": _METHOD,
    b":path": _PATH,
    b":authority": _AUTHORITY,
    b"host": _AUTHORITY,  # Envoy knows the host field under this name too
    b":scheme": _SCHEME,
}


class StringMatcher:
    """A compiled ``StringMatcher``."""

    __slots__ = ("ignore_case", "kind", "value")

    def __init__(self, kind: int, value: bytes, ignore_case: bool = False) -> None:
        self.kind: Final = kind
        self.value: Final = value.lower() if ignore_case else value
        self.ignore_case: Final = ignore_case

    def matches(self, text: bytes) -> bool:
        """Whether ``text`` is as the matcher wants it; ``ignore_case`` is about ASCII letters."""
        if self.ignore_case:
            text = text.lower()
        kind = self.kind
        if kind == EXACT:
            return text == self.value
        if kind == PREFIX:
            return text.startswith(self.value)
        if kind == SUFFIX:
            return text.endswith(self.value)
        if kind == CONTAINS:
            return self.value in text
        return True


class RegexStringMatcher(StringMatcher):
    """``StringMatcher.safe_regex``: the whole text matches the expression."""

    __slots__ = ("regex",)

    def __init__(self, regex: Regex) -> None:
        super().__init__(ANY, b"")
        self.regex: Final = regex

    def matches(self, text: bytes) -> bool:
        return self.regex.matches(text)


class ValueMatcher:
    """What a header's value must be: a string, unless a subclass says otherwise."""

    __slots__ = ("string",)

    def __init__(self, string: StringMatcher) -> None:
        self.string: Final = string

    def matches(self, value: bytes) -> bool:
        """Whether ``value`` fits."""
        return self.string.matches(value)


class RangeMatcher(ValueMatcher):
    """``range_match``: the whole value is a base-10 number in ``[start, end)``."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        super().__init__(StringMatcher(ANY, b""))
        self.start: Final = start
        self.end: Final = end

    def matches(self, value: bytes) -> bool:
        digits = value[1:] if value[:1] in (b"-", b"+") else value
        # int() alone would also take underscores, and work long on thousands of digits.
        if not digits.isdigit() or len(digits.lstrip(b"0")) > 20 or len(digits) > 4000:
            return False
        return self.start <= int(value) < self.end


class HeaderMatcher:
    """A compiled ``HeaderMatcher``. Of several values of one name, one that fits is enough."""

    __slots__ = ("invert", "missing_as_empty", "name", "one_line", "present", "source", "value")

    def __init__(
        self,
        name: bytes,
        value: ValueMatcher | None,
        present: bool = True,
        invert: bool = False,
        missing_as_empty: bool = False,
    ) -> None:
        """Without a ``value`` matcher the header only has to be there, or not (``present``)."""
        self.name: Final = name.lower()
        self.source: Final = _SOURCES.get(self.name, _FIELD)
        self.one_line: Final = self.name in ONE_LINE_IN_REQUESTS  # several values are compared as one
        self.value: Final = value
        self.present: Final = present
        self.invert: Final = invert
        self.missing_as_empty: Final = missing_as_empty

    def matches(self, path: bytes, method: bytes, scheme: bytes, authority: bytes, headers: Headers) -> bool:
        """Whether the request has the header as wanted."""
        source = self.source
        found: bytes | None
        if source == _FIELD:
            values = headers.get_all(self.name)
            if len(values) > 1 and not self.one_line:
                return self._matches_one(values)
            found = b",".join(values) if values else None
        elif source == _METHOD:
            found = method
        elif source == _PATH:
            found = path
        elif source == _AUTHORITY:
            found = authority
        else:
            found = scheme
        if found is None and self.missing_as_empty:
            found = b""
        value = self.value
        if value is None:
            return ((found is not None) == self.present) != self.invert
        if found is None:
            return False  # a missing header has no value to compare, not even inverted
        return value.matches(found) != self.invert

    def _matches_one(self, values: list[bytes]) -> bool:
        value = self.value
        if value is None:
            return self.present != self.invert
        for each in values:
            if value.matches(each):
                return not self.invert
        return self.invert


class QueryParameterMatcher:
    """A compiled ``QueryParameterMatcher``: the first parameter of that name counts, as it was written."""

    __slots__ = ("name", "present", "value")

    def __init__(self, name: bytes, value: StringMatcher | None, present: bool = True) -> None:
        self.name: Final = name
        self.value: Final = value
        self.present: Final = present

    def matches(self, parameters: dict[bytes, bytes]) -> bool:
        """Whether the ``parameters`` of the query are as wanted."""
        found = parameters.get(self.name)
        if self.value is None:
            return (found is not None) == self.present
        return found is not None and self.value.matches(found)


class Conditions:
    """All that a route asks for besides its path; every one must hold."""

    __slots__ = ("denominator", "grpc", "headers", "numerator", "path_text", "path_whole", "query_parameters")

    def __init__(
        self,
        headers: tuple[HeaderMatcher, ...] = (),
        query_parameters: tuple[QueryParameterMatcher, ...] = (),
        path_text: bytes = b"",
        path_whole: bool = False,
        grpc: bool = False,
        numerator: int = 1,
        denominator: int = 1,
    ) -> None:
        """``path_text`` is given where the table was searched without regard to case and this route minds it:
        the path must begin with it, or be it (``path_whole``). ``numerator`` of ``denominator`` requests are
        matched at all (``runtime_fraction``)."""
        self.headers: Final = headers
        self.query_parameters: Final = query_parameters
        self.path_text: Final = path_text
        self.path_whole: Final = path_whole
        self.grpc: Final = grpc
        self.numerator: Final = numerator
        self.denominator: Final = denominator

    def hold(
        self, path: bytes, method: bytes, scheme: bytes, authority: bytes, headers: Headers, draw: int = 0
    ) -> bool:
        """Whether the request meets all of them. ``path`` has its query; ``draw`` is the request's lot."""
        if draw % self.denominator >= self.numerator:
            return False
        if self.grpc and not is_grpc(headers):
            return False
        if self.path_text:
            if not path.startswith(self.path_text):
                return False
            if self.path_whole and path[len(self.path_text) : len(self.path_text) + 1] not in (b"", b"?"):
                return False
        for header in self.headers:
            if not header.matches(path, method, scheme, authority, headers):
                return False
        if self.query_parameters:
            parameters = query_parameters_of(path)
            for parameter in self.query_parameters:
                if not parameter.matches(parameters):
                    return False
        return True


def query_parameters_of(path: bytes) -> dict[bytes, bytes]:
    """The query of ``path`` by name; the first of a name wins, nothing is decoded, ``a`` alone is empty."""
    parameters: dict[bytes, bytes] = {}
    query = path.find(b"?")
    if query >= 0:
        for pair in path[query + 1 :].split(b"&"):
            name, _, value = pair.partition(b"=")
            parameters.setdefault(name, value)
    return parameters
