"""By what of a request or a client a host is chosen where the load balancer hashes: Envoy's hash policies."""

from typing import Final

from proxyd.codec.xxh64 import xxh64
from proxyd.config import route as config
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.matchers import query_parameters_of
from proxyd.snapshot.regex import Substitution
from proxyd.snapshot.sources import request_header

NO_KEY: Final = -1  # nothing to hash
_MASK: Final = 0xFFFFFFFFFFFFFFFF
_PSEUDO: Final = (b":path", b":method", b":authority", b":scheme", b"host")


class _Policy:
    """One policy; after a ``terminal`` one that has found something no other is asked."""

    def __init__(self, terminal: bool) -> None:
        self.terminal: Final = terminal

    def key(self, info: StreamInfo) -> int:
        raise NotImplementedError


class _Header(_Policy):
    """A header's value; of several values, sorted, all."""

    def __init__(self, name: bytes, rewrite: Substitution | None, terminal: bool) -> None:
        super().__init__(terminal)
        self._name: Final = name
        self._rewrite: Final = rewrite

    def key(self, info: StreamInfo) -> int:
        values = self._values(info)
        if self._rewrite is not None:
            values = [self._rewrite.replace_all(value) for value in values]
        if not values:
            return NO_KEY
        key = 0
        for value in sorted(values):
            key = xxh64(value, key)
        return key

    def _values(self, info: StreamInfo) -> list[bytes]:
        if self._name in _PSEUDO:
            value = request_header(info, self._name)
            return [] if value is None else [value]
        return [value for name, value in info.request_headers.items if name == self._name]


class _Cookie(_Policy):
    def __init__(self, name: bytes, terminal: bool) -> None:
        super().__init__(terminal)
        self._name: Final = name

    def key(self, info: StreamInfo) -> int:
        for name, value in info.request_headers.items:
            if name == b"cookie":
                for cookie in value.split(b";"):
                    named, equals, content = cookie.strip(b" \t").partition(b"=")
                    if equals and named == self._name:
                        return xxh64(_unquoted(content))
        return NO_KEY


def _unquoted(value: bytes) -> bytes:
    return value[1:-1] if len(value) >= 2 and value[:1] == b'"' == value[-1:] else value


class _SourceIp(_Policy):
    def key(self, info: StreamInfo) -> int:
        return ip_key(info.downstream_remote_address.rpartition(":")[0].strip("[]"))


class _QueryParameter(_Policy):
    def __init__(self, name: bytes, terminal: bool) -> None:
        super().__init__(terminal)
        self._name: Final = name

    def key(self, info: StreamInfo) -> int:
        value = query_parameters_of(info.path).get(self._name)
        return NO_KEY if value is None else xxh64(value)


class HashPolicies:
    """Those of a route, in their order."""

    def __init__(self, policies: tuple[config.HashPolicy, ...]) -> None:
        """Raises RegexError."""
        self._policies: Final = [_compile(each) for each in policies]

    def key(self, info: StreamInfo) -> int:
        """The hash of a request; NO_KEY where nothing was found to hash."""
        key = NO_KEY
        for policy in self._policies:
            found = policy.key(info)
            if found != NO_KEY:
                # Turned before another comes to it, so that two equal ones are not none.
                turned = 0 if key == NO_KEY else (key << 1 & _MASK) | key >> 63
                key = turned ^ found
            if policy.terminal and key != NO_KEY:
                break
        return key


def _compile(policy: config.HashPolicy) -> _Policy:
    terminal = policy.terminal
    if policy.header is not None:
        rewrite = policy.header.regex_rewrite
        substitution = None if rewrite is None else Substitution(rewrite.pattern.regex, rewrite.substitution)
        return _Header(policy.header.header_name.lower().encode(), substitution, terminal)
    if policy.cookie is not None:
        return _Cookie(policy.cookie.name.encode(), terminal)
    if policy.query_parameter is not None:
        return _QueryParameter(policy.query_parameter.name.encode(), terminal)
    return _SourceIp(terminal)


def ip_key(ip: str) -> int:
    """The hash of a client's address; NO_KEY for a client on a Unix domain socket, which has none."""
    return xxh64(ip.encode()) if ip else NO_KEY
