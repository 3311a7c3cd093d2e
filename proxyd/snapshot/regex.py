"""THE home of regular expressions: RE2, whose time is linear in the text whatever the expression.

Envoy's expressions are RE2's and are matched over raw bytes as UTF-8; so are these. Where the package
google-re2 cannot be installed, a configuration with an expression is refused. Python's own engine would take
most of them, mean something else by some, and could be stopped for seconds by a request of thirty bytes.
"""

from typing import Any, Final

try:
    import re2

    _re2: Any = re2
except ImportError:
    _re2 = None

NOT_INSTALLED: Final = "regular expressions need the package google-re2, which is not installed"

# What one set may take for its automaton: RE2's own default. A list that needs more becomes several sets.
MAX_MEMORY: Final = 8 << 20


class RegexError(ValueError):
    """An expression or a substitution that cannot be used; the text says why."""


class RegexSet:
    """Many expressions, matched together in one pass over the text."""

    __slots__ = ("_parts",)

    def __init__(self, patterns: list[bytes], max_memory: int = MAX_MEMORY) -> None:
        """``max_memory``: bytes for one automaton. Raises RegexError for what cannot be compiled."""
        self._parts: Final[list[tuple[int, Any]]] = []
        if patterns:
            self._add(patterns, 0, max_memory)

    def _add(self, patterns: list[bytes], first: int, max_memory: int) -> None:
        built = _build_set(patterns, max_memory)
        if built is not None:
            self._parts.append((first, built))
        elif len(patterns) == 1:
            raise RegexError("the expression is too large")
        else:
            middle = len(patterns) // 2
            self._add(patterns[:middle], first, max_memory)
            self._add(patterns[middle:], first + middle, max_memory)

    def matches(self, text: bytes) -> list[int]:
        """The indexes of the expressions that the whole of ``text`` matches, in no order."""
        found: list[int] = []
        for first, part in self._parts:
            indexes: list[int] | None = part.Match(text)
            if indexes:
                found += indexes if first == 0 else [first + index for index in indexes]
        return found


class Regex:
    """One expression that the whole text has to match."""

    __slots__ = ("_set",)

    def __init__(self, pattern: str) -> None:
        """Raises RegexError."""
        compile_regex(pattern)
        # A set of one answers yes or no in a third of the time that a match with its groups takes.
        self._set: Final = RegexSet([pattern.encode()])

    def matches(self, text: bytes) -> bool:
        """Whether the whole of ``text`` matches."""
        return bool(self._set.matches(text))


class Substitution:
    """A compiled ``RegexMatchAndSubstitute``: RE2's GlobalReplace."""

    __slots__ = ("_pattern", "_template")

    def __init__(self, pattern: str, substitution: str) -> None:
        """Raises RegexError, also for a substitution that refers to a group that is not there."""
        compiled = compile_regex(pattern)
        self._pattern: Final[Any] = compiled
        # Literal text and numbers of groups by turns, beginning with text.
        self._template: Final = _parse_substitution(substitution, compiled.groups)

    def replace_all(self, text: bytes) -> bytes:
        """``text`` with every match replaced. An empty match right behind a match is none, as in RE2."""
        pattern = self._pattern
        pieces: list[bytes] = []
        position = 0
        last_end = -1
        # Behind a match that ends the text there can only be an empty one.
        while position <= len(text) and last_end < len(text):
            match = pattern.search(text, position)
            if match is None:
                break
            begin: int
            end: int
            begin, end = match.span()
            pieces.append(text[position:begin])
            if begin == end == last_end:
                step = _character_length(text, position)
                pieces.append(text[position : position + step])
                position += step
                continue
            self._expand(match, text, pieces)
            position = last_end = end
        pieces.append(text[position:])
        return b"".join(pieces)

    def _expand(self, match: Any, text: bytes, pieces: list[bytes]) -> None:
        literal = True
        for piece in self._template:
            if literal:
                pieces.append(piece)
            else:
                begin: int
                end: int
                begin, end = match.span(piece[0])
                if begin >= 0:
                    pieces.append(text[begin:end])
            literal = not literal


def compile_regex(pattern: str) -> Any:
    """The engine's own form of an expression, for those who need its groups. Raises RegexError."""
    if _re2 is None:
        raise RegexError(NOT_INSTALLED)
    try:
        return _re2.compile(pattern.encode(), _options(MAX_MEMORY))
    except _re2.error as error:
        reason = error.args[0] if error.args else "it cannot be compiled"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise RegexError(f"no RE2 expression: {text}") from None


def _options(max_memory: int) -> Any:
    options = _re2.Options()
    options.log_errors = False
    options.max_mem = max_memory
    return options


def _build_set(patterns: list[bytes], max_memory: int) -> Any:
    """A set of the expressions; None if it would be too large."""
    if _re2 is None:
        raise RegexError(NOT_INSTALLED)
    built = _re2.Set.FullMatchSet(_options(max_memory))
    try:
        for pattern in patterns:
            built.Add(pattern)
        built.Compile()
    except _re2.error:
        return None
    return built


def _parse_substitution(substitution: str, groups: int) -> list[bytes]:
    """``a\\\\1b`` as [a, group 1, b]; a group is one byte with its number."""
    template: list[bytes] = []
    literal = bytearray()
    text = substitution.encode()
    position = 0
    while position < len(text):
        character = text[position : position + 1]
        position += 1
        if character != b"\\":
            literal += character
            continue
        escaped = text[position : position + 1]
        position += 1
        if escaped == b"\\":
            literal += escaped
        elif escaped.isdigit():
            if int(escaped) > groups:
                raise RegexError(f"\\{escaped.decode()} refers to a group, and the expression has {groups}")
            template += [bytes(literal), bytes([int(escaped)])]
            literal.clear()
        else:
            raise RegexError("a backslash stands before a digit or another backslash")
    template.append(bytes(literal))
    return template


def _character_length(text: bytes, position: int) -> int:
    """How many bytes the UTF-8 character at ``position`` has; 1 where there is none."""
    if position >= len(text) or text[position] < 0x80:
        return 1
    for length in (2, 3, 4):
        try:
            text[position : position + length].decode()
        except UnicodeDecodeError:
            continue
        return length
    return 1
