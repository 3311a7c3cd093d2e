"""Where a request came from: ``x-forwarded-*``, ``x-request-id``, ``via``, and who may command the proxy.

What each request goes through before anything else looks at its headers, in Envoy's order (its
ConnectionManagerUtility::mutateRequestHeaders). Three kinds of clients are told apart. An internal one is in
``internal_address_config`` and nobody else stands in ``x-forwarded-for``; its ``x-envoy-*`` headers are
heeded. With use_remote_address any other is at the edge: it has nothing to say. Without, the peer is a proxy
that is believed where a request came from, but commands nothing.
"""

import ipaddress
import re
import socket
from typing import Final

from proxyd.codec.headers import HeaderBlock, write_fields
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import StreamInfo
from proxyd.net.request_id import RequestIds
from proxyd.snapshot.forwarding import (
    CLIENT_CERT,
    FORWARDED_FOR,
    FORWARDED_PORT,
    FORWARDED_PROTO,
    FROM_INTERNAL,
    NEVER,
    NOT_FROM_EDGE,
    REFERER,
    REQUEST_ID,
    USER_AGENT,
    VIA,
    ForwardingSnapshot,
)

# As in Envoy, no other address of 127.0.0.0/8 is one.
_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "::ffff:127.0.0.1"))
_SCHEMES: Final = frozenset((b"http", b"https"))
_INTERNAL: Final = (b"x-envoy-internal", b"true")
_REWRITTEN: Final = NEVER | FORWARDED_FOR | FORWARDED_PROTO | FORWARDED_PORT | REQUEST_ID | VIA
_ID_LENGTH: Final = 36
_TRACE_PLACE: Final = 14  # the version's digit of a UUID, where Envoy notes whether the request is traced


def last_address(forwarded_for: bytes, skip: int) -> str:
    """The last address of an ``x-forwarded-for`` but ``skip``, or an empty string where there is none."""
    for _ in range(skip):
        forwarded_for, comma, _ = forwarded_for.rpartition(b",")
        if not comma:
            return ""
    # As in Envoy, an empty last element spoils the list: nothing is guessed from what stands before it.
    text = forwarded_for[forwarded_for.rfind(b",") + 1 :].strip()
    if not text or not text.isascii():
        return ""
    try:
        address = ipaddress.ip_address(text.decode())
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    # Not by str(), which writes the last part of ::ffff:10.0.0.1 in one way or the other by Python's version.
    scope = f"%{address.scope_id}" if address.scope_id else ""
    return socket.inet_ntop(socket.AF_INET6, address.packed) + scope


# What Envoy lets pass: a URL without user and fragment, or a relative one.
_URL: Final = re.compile(
    rb"[A-Za-z][A-Za-z0-9+.-]*://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(?:[/?][!\"$-~]*)?"
)
_RELATIVE: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=@%?-]*(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")


def is_referer(value: bytes) -> bool:
    """Whether ``value`` is a URL that can stand in a Referer field (RFC 9110 section 10.1.3)."""
    url = _URL.fullmatch(value)
    if url is not None:
        return int(url[1] or 0) <= 65535
    return _RELATIVE.fullmatch(value) is not None


def _scheme_of(connection: ConnectionInfo) -> bytes:
    return b"http" if connection.tls is None else b"https"


class _Said:
    """What is known of one connection: the headers its requests get where they bring none of their own."""

    __slots__ = ("block", "default_scheme", "found", "internal", "items", "owner", "scheme", "with_items")

    def __init__(self, owner: "Forwarding", internal: bool, scheme: bytes, default_scheme: bytes) -> None:
        self.owner: Final = owner
        self.internal: Final = internal
        self.scheme: Final = scheme  # for each of them; empty where a target's own counts
        self.default_scheme: Final = scheme or default_scheme  # where the target has none
        self.items: list[tuple[bytes, bytes]] = []
        self.block: HeaderBlock | None = None  # of the last request, and which kinds of headers it brought
        self.found: int = 0
        self.with_items: HeaderBlock | None = None  # that block with the items behind it


class Forwarding:
    """Sets and drops the headers about a request's origin, for all requests of one listener."""

    def __init__(self, options: ForwardingSnapshot, request_ids: RequestIds, local_address: str) -> None:
        """``local_address`` is this machine's own, written where the peer's is a loopback address."""
        self._options: Final = options
        self._kinds: Final = options.kinds
        self._generate: Final = options.generate_request_id
        self._request_ids: Final = request_ids
        self._local_address: Final = local_address.encode()

    def prepare(self, info: StreamInfo) -> bool:
        """Do it to ``info``, whose ``scheme`` is its target's or empty; True for an internal client."""
        connection = info.connection
        said = connection.forwarded
        if not isinstance(said, _Said) or said.owner is not self:
            said = self._say(connection)
            connection.forwarded = said
        headers = info.request_headers
        block = headers.block()
        if block is not None and block is said.block and len(headers.items) == block.count:
            if said.found:
                return self._prepare(info, connection, said.found)
            known = said.with_items
            if known is None:
                known = HeaderBlock(block.items + said.items, block.wire + write_fields(said.items))
                said.with_items = known
            headers.share(known)
        else:
            found = self._find(headers.items)
            if block is not None and len(headers.items) == block.count:
                said.block = block
                said.found = found
                said.with_items = None
            if found:
                return self._prepare(info, connection, found)
            headers.items += said.items
        if said.scheme or not info.scheme:
            info.scheme = said.default_scheme
        if self._generate:
            request_id = self._request_ids.next()
            info.request_id = request_id
            headers.items.append((b"x-request-id", request_id))
        return said.internal

    def _find(self, items: list[tuple[bytes, bytes]]) -> int:
        """Which kinds of headers are among these."""
        kinds = self._kinds
        found = 0
        for item in items:
            kind = kinds.get(item[0], 0)
            if kind != REFERER or not is_referer(item[1]):
                found |= kind
        return found

    def _say(self, connection: ConnectionInfo) -> _Said:
        """What is said of every request of a connection that says nothing itself."""
        info = StreamInfo()
        scheme = self._options.scheme
        said = _Said(self, self._prepare(info, connection, 0), scheme, _scheme_of(connection))
        said.items = [item for item in info.request_headers.items if item[0] != b"x-request-id"]
        return said

    def _prepare(self, info: StreamInfo, connection: ConnectionInfo, found: int) -> bool:
        options = self._options
        said: dict[int, bytes] = {}
        if found:
            kinds = self._kinds
            for name, value in info.request_headers.items:
                kind = kinds.get(name, 0)
                if kind:
                    before = said.get(kind)
                    said[kind] = value if before is None else before + b"," + value
        forwarded_for = said.get(FORWARDED_FOR)
        proto = said.get(FORWARDED_PROTO)
        port = said.get(FORWARDED_PORT)
        remote = connection.remote_ip
        client = ""  # whom a trusted proxy in front names
        alone = False  # nobody else stands in the list
        if options.edge:
            alone = forwarded_for is None
            trusted = options.trusted_hops > 0
            if trusted and forwarded_for is not None:
                client = last_address(forwarded_for, options.trusted_hops - 1)
            if options.append_address and remote:  # a client at a Unix domain socket has none
                address = self._local_address if remote in _LOOPBACK else remote.encode()
                forwarded_for = forwarded_for + b"," + address if forwarded_for else address
            if not trusted or proto is None:
                proto = _scheme_of(connection)
            if options.append_port and (not trusted or port is None):
                port = connection.local_address.rpartition(":")[2].encode()
        else:
            if options.append_port and port is None:
                port = connection.local_address.rpartition(":")[2].encode()
            if forwarded_for is not None:
                client = last_address(forwarded_for, options.trusted_hops)
                alone = bool(client) and options.trusted_hops == 0 and b"," not in forwarded_for
        if proto is None:
            proto = _scheme_of(connection)
        if options.scheme:
            proto = options.scheme
            info.scheme = proto
        elif not info.scheme:
            lower = proto.lower()
            info.scheme = lower if lower in _SCHEMES else _scheme_of(connection)
        if not proto:
            info.scheme = b""  # as in Envoy, such a request has no route
        if client:
            info.downstream_remote_address = f"[{client}]:0" if ":" in client else f"{client}:0"
        else:
            client = remote
        internal = alone and not options.internal.empty and options.internal.holds(client)
        at_edge = options.edge and not internal
        drop = _REWRITTEN | (found & REFERER)
        if not internal:
            drop |= FROM_INTERNAL
        if at_edge:
            drop |= NOT_FROM_EDGE
        if options.add_user_agent and not said.get(USER_AGENT):
            drop |= USER_AGENT
        details = options.client_cert
        client_cert = self._client_cert(connection)
        if client_cert or not details.keeps or connection.tls is None or connection.tls.peer is None:
            drop |= CLIENT_CERT
        items = info.request_headers.items
        if found & drop:
            kinds = self._kinds
            items = [item for item in items if not kinds.get(item[0], 0) & drop]
            info.request_headers.items = items
        if forwarded_for is not None:
            items.append((b"x-forwarded-for", forwarded_for))
        items.append((b"x-forwarded-proto", proto))
        if port is not None:
            items.append((b"x-forwarded-port", port))
        if internal:
            items.append(_INTERNAL)
        if at_edge:
            items.append((b"x-envoy-external-address", client.encode()))
        if options.add_user_agent:
            self._add_user_agent(items, drop)
        if client_cert:
            before = said.get(CLIENT_CERT) if details.appends else None
            value = before + b"," + client_cert if before else client_cert
            items.append((b"x-forwarded-client-cert", value))
        if options.via:
            via = said.get(VIA)
            items.append((b"via", via + b", " + options.via if via else options.via))
        self._set_request_id(info, items, said.get(REQUEST_ID), at_edge)
        return internal

    def _client_cert(self, connection: ConnectionInfo) -> bytes:
        """What ``x-forwarded-client-cert`` says of the client itself; the same for all its requests."""
        tls = connection.tls
        if tls is None or tls.peer is None or not self._options.client_cert.tells:
            return b""
        if connection.client_cert is None:
            connection.client_cert = self._options.client_cert.element(tls)
        return connection.client_cert

    def _add_user_agent(self, items: list[tuple[bytes, bytes]], drop: int) -> None:
        options = self._options
        items.append((b"x-envoy-downstream-service-cluster", options.service_cluster))
        if options.service_node:
            items.append((b"x-envoy-downstream-service-node", options.service_node))
        if drop & USER_AGENT:
            items.append((b"user-agent", options.service_cluster))

    def _set_request_id(
        self, info: StreamInfo, items: list[tuple[bytes, bytes]], request_id: bytes | None, at_edge: bool
    ) -> None:
        options = self._options
        if options.generate_request_id:
            if not request_id or (at_edge and not options.preserve_request_id):
                request_id = self._request_ids.next()
            elif at_edge and len(request_id) == _ID_LENGTH:
                # As in Envoy, a stranger does not decide that a request is traced.
                request_id = request_id[:_TRACE_PLACE] + b"4" + request_id[_TRACE_PLACE + 1 :]
        if request_id is not None:
            info.request_id = request_id
            items.append((b"x-request-id", request_id))
