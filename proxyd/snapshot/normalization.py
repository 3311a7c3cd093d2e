"""Paths and authorities in the one form that routes are written for.

HttpConnectionManager.normalize_path, merge_slashes, path_with_escaped_slashes_action, strip_*_host_port and
strip_trailing_host_dot. The results are those of Envoy, which writes paths as browsers do: dot segments go,
unreserved characters are decoded, backslashes are slashes. Queries stay as they are.
"""

import re
from typing import Final

# What becomes of %2F and %5C in a path.
KEEP_UNCHANGED: Final = 0
REJECT_REQUEST: Final = 1
UNESCAPE_AND_REDIRECT: Final = 2
UNESCAPE_AND_FORWARD: Final = 3

# What becomes of a request.
GOES_ON: Final = 0
REFUSED: Final = 1
REDIRECTED: Final = 2

# Which port goes away.
NO_PORT: Final = 0
MATCHING_PORT: Final = 1
ANY_PORT: Final = 2

_ESCAPED_SLASH: Final = re.compile(rb"%2[Ff]|%5[Cc]")
# Only a path with one of these can be written in another way.
_NOT_CANONICAL: Final = re.compile(rb'/\.|[%\\"<>^`{|}\x00-\x20\x7f-\xff]')
_TO_WRITE_ANEW: Final = re.compile(rb'%[0-9A-Fa-f]{2}|[\\"<>^`{|}\x00-\x20\x7f-\xff]')
# Some origins take "..;x" for "..": as in Envoy, parameters do not hide a dot segment.
_PARAMETERS_OF_DOTS: Final = re.compile(rb"(?<=/)(\.\.?);[^/]*")
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PORT: Final = re.compile(rb"\+?([0-9]+)")
_MAX_PORT: Final = 0xFFFFFFFF  # as in Envoy, any number of 32 bits passes for a port


def _write_anew(match: "re.Match[bytes]") -> bytes:
    text = match[0]
    if text == b"\\":
        return b"/"
    if len(text) == 1:
        return b"%%%02X" % text[0]
    decoded = bytes.fromhex(text[1:].decode())
    return decoded if decoded in _UNRESERVED else text


def canonical_path(path: bytes) -> bytes | None:
    """A path without its query in canonical form, or None where it has none (it holds ``%00``)."""
    if _NOT_CANONICAL.search(path) is None:
        return path
    if b"%00" in path:
        return None
    path = _TO_WRITE_ANEW.sub(_write_anew, _PARAMETERS_OF_DOTS.sub(rb"\1", path))
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")
    last = len(segments) - 1
    for index, segment in enumerate(segments):
        if segment == b"..":
            if len(kept) > 1:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
            continue
        if index == last:
            kept.append(b"")
    return b"/".join(kept)


def merge_slashes(path: bytes) -> bytes:
    """A path without its query with one slash for several; as in Envoy, nothing but slashes becomes two."""
    if b"//" not in path:
        return path
    merged = b"/".join([segment for segment in path.split(b"/") if segment])
    return (b"/" if path[:1] == b"/" else b"") + merged + (b"/" if path[-1:] == b"/" else b"")


def _unescaped_slash(match: "re.Match[bytes]") -> bytes:
    return b"/" if match[0][1:2] == b"2" else b"\\"


class PathNormalization:
    """What a connection manager does to paths; ``active`` only if there is anything to do."""

    def __init__(self, normalize: bool, merge: bool, slashes: int) -> None:
        self.active: Final[bool] = normalize or merge or slashes != KEEP_UNCHANGED
        self._normalize: Final = normalize
        self._merge: Final = merge
        self._slashes: Final = slashes

    def apply(self, target: bytes) -> tuple[int, bytes]:
        """What becomes of a request (GOES_ON, REFUSED, REDIRECTED) and its path with the query."""
        path, mark, query = target.partition(b"?")
        fate = GOES_ON
        if self._slashes != KEEP_UNCHANGED and _ESCAPED_SLASH.search(path) is not None:
            path = _ESCAPED_SLASH.sub(_unescaped_slash, path)
            if self._slashes == REJECT_REQUEST:
                return REFUSED, path + mark + query
            if self._slashes == UNESCAPE_AND_REDIRECT:
                fate = REDIRECTED
        if self._normalize:
            canonical = canonical_path(path)
            if canonical is None:
                return REFUSED, path + mark + query
            path = canonical
        if self._merge:
            path = merge_slashes(path)
        return fate, path + mark + query


class AuthorityNormalization:
    """What a connection manager does to authorities; ``active`` only if there is anything to do."""

    def __init__(self, port: int, trailing_dot: bool) -> None:
        """``port`` is NO_PORT, MATCHING_PORT or ANY_PORT: which one goes."""
        self.active: Final[bool] = trailing_dot or port != NO_PORT
        self._port: Final = port
        self._trailing_dot: Final = trailing_dot

    def apply(self, authority: bytes, local_port: int) -> bytes:
        """The authority without its last dot and, as configured, without its port."""
        if self._trailing_dot:
            authority = _without_dot(authority)
        if self._port == NO_PORT:
            return authority
        place = authority.rfind(b":")
        if place < 0 or place < authority.rfind(b"]"):
            return authority
        match = _PORT.fullmatch(authority, place + 1)
        if match is None:
            return authority
        digits = match[1].lstrip(b"0") or b"0"
        if len(digits) > 10 or int(digits) > _MAX_PORT:
            return authority
        if self._port == MATCHING_PORT and int(digits) != local_port:
            return authority
        return authority[:place]


def _without_dot(authority: bytes) -> bytes:
    place = authority.rfind(b".")
    if place < 0:
        return authority
    if place == len(authority) - 1:
        return authority[:-1]
    if authority[place + 1 : place + 2] == b":":
        return authority[:place] + authority[place + 1 :]
    return authority
