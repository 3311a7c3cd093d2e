"""What a connection manager does to the headers that tell where a request came from, settled at load.

Source: HttpConnectionManager's use_remote_address, xff_num_trusted_hops, internal_address_config and their
neighbours, and Envoy's lists of the ``x-envoy-*`` headers that command a proxy.
"""

import ipaddress
from typing import Final

from proxyd.codec.certificate import DNS, URI, preload
from proxyd.config.core import CidrRange, Node
from proxyd.config.http_connection_manager import (
    ForwardClientCertDetails,
    HttpConnectionManager,
    SetCurrentClientCertDetails,
)
from proxyd.filters.tls_info import TlsInfo

# What a request header is to a manager; each is one bit.
NEVER: Final = 1 << 0  # no request goes on with it
FROM_INTERNAL: Final = 1 << 1  # goes on from internal clients only
NOT_FROM_EDGE: Final = 1 << 2  # goes on unless the client is external and directly connected
FORWARDED_FOR: Final = 1 << 3
FORWARDED_PROTO: Final = 1 << 4
FORWARDED_PORT: Final = 1 << 5
REQUEST_ID: Final = 1 << 6
VIA: Final = 1 << 7
USER_AGENT: Final = 1 << 8
REFERER: Final = 1 << 9  # goes on if it is one
CLIENT_CERT: Final = 1 << 10

_ALWAYS: Final[dict[bytes, int]] = {
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED_PROTO,
    b"x-request-id": REQUEST_ID,
    b"referer": REFERER,
    b"x-envoy-internal": NEVER,
    # Retries by header and statistics by header are commands that proxyd does not take.
    b"x-envoy-retry-on": NEVER,
    b"x-envoy-retry-grpc-on": NEVER,
    b"x-envoy-max-retries": NEVER,
    b"x-envoy-retriable-status-codes": NEVER,
    b"x-envoy-retriable-header-names": NEVER,
    b"x-envoy-hedge-on-per-try-timeout": NEVER,
    b"x-envoy-upstream-alt-stat-name": NEVER,
    b"x-envoy-upstream-rq-timeout-alt-response": NEVER,
    b"x-envoy-expected-rq-timeout-ms": NEVER,
    b"x-envoy-upstream-rq-timeout-ms": FROM_INTERNAL,
    b"x-envoy-upstream-rq-per-try-timeout-ms": FROM_INTERNAL,
    b"x-envoy-force-trace": FROM_INTERNAL,
    b"x-envoy-ip-tags": FROM_INTERNAL,
    b"x-envoy-original-url": FROM_INTERNAL,
}

_AT_THE_EDGE: Final[dict[bytes, int]] = {
    b"x-envoy-decorator-operation": NOT_FROM_EDGE,
    b"x-envoy-downstream-service-cluster": NOT_FROM_EDGE,
    b"x-envoy-downstream-service-node": NOT_FROM_EDGE,
    b"x-envoy-external-address": NOT_FROM_EDGE,
    b"x-envoy-original-host": NOT_FROM_EDGE,
    b"x-envoy-original-path": NOT_FROM_EDGE,
}

_CACHED_ADDRESSES: Final = 1024


class AddressRanges:
    """Blocks of addresses; says of an address whether it is in one of them."""

    def __init__(self, blocks: tuple[CidrRange, ...]) -> None:
        self._v4: Final[list[tuple[int, int]]] = []  # shift, what is left of an address after it
        self._v6: Final[list[tuple[int, int]]] = []
        self.empty: Final[bool] = not blocks
        self._known: Final[dict[str, bool]] = {}
        for block in blocks:
            address = ipaddress.ip_address(block.address_prefix)
            shift = max(0, address.max_prefixlen - (block.prefix_len or 0))
            known = self._v4 if address.version == 4 else self._v6
            known.append((shift, int(address) >> shift))

    def holds(self, text: str) -> bool:
        """Whether the address is in a block; what is no address is in none."""
        known = self._known.get(text)
        if known is None:
            known = self._look_up(text)
            if len(self._known) >= _CACHED_ADDRESSES:  # clients choose some of these
                self._known.clear()
            self._known[text] = known
        return known

    def _look_up(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        number = int(address)
        blocks = self._v4 if address.version == 4 else self._v6
        return any(number >> shift == prefix for shift, prefix in blocks)


class ClientCertSnapshot:
    """What becomes of ``x-forwarded-client-cert`` where a client has shown a certificate."""

    def __init__(self, config: HttpConnectionManager) -> None:
        mode = config.forward_client_cert_details
        self.keeps: Final[bool] = mode is ForwardClientCertDetails.FORWARD_ONLY
        self.appends: Final[bool] = mode is ForwardClientCertDetails.APPEND_FORWARD
        self.tells: Final[bool] = self.appends or mode is ForwardClientCertDetails.SANITIZE_SET
        if self.tells:
            preload()
        details = config.set_current_client_cert_details or SetCurrentClientCertDetails()
        self.subject: Final[bool] = bool(details.subject)
        self.cert: Final[bool] = details.cert
        self.chain: Final[bool] = details.chain
        self.dns: Final[bool] = details.dns
        self.uri: Final[bool] = details.uri

    def element(self, tls: TlsInfo) -> bytes:
        """What is told of the client on this connection; empty without its certificate."""
        peer = tls.peer
        if peer is None:
            return b""
        parts = [] if tls.local is None else [f"By={uri}" for uri in tls.local.names_of(URI)]
        parts.append(f"Hash={peer.sha256}")
        if self.cert:
            parts.append(f'Cert="{peer.escaped_pem}"')
        if self.chain:
            parts.append(f'Chain="{"".join(each.escaped_pem for each in tls.peer_chain)}"')
        if self.subject:
            parts.append(f'Subject="{peer.subject}"')
        if self.uri:
            parts += [f"URI={uri}" for uri in peer.names_of(URI)] or ["URI="]
        if self.dns:
            parts += [f"DNS={name}" for name in peer.names_of(DNS)]
        return ";".join(parts).encode()


class ForwardingSnapshot:
    """The compiled options."""

    def __init__(self, config: HttpConnectionManager, node: Node | None) -> None:
        self.edge: Final[bool] = bool(config.use_remote_address)
        self.trusted_hops: Final[int] = config.xff_num_trusted_hops
        self.append_address: Final[bool] = self.edge and not config.skip_xff_append
        self.append_port: Final[bool] = config.append_x_forwarded_port
        internal = config.internal_address_config
        self.internal: Final = AddressRanges(() if internal is None else internal.cidr_ranges)
        transformation = config.scheme_header_transformation
        scheme = None if transformation is None else transformation.scheme_to_overwrite
        self.scheme: Final[bytes] = (scheme or "").encode()  # empty: as it came
        self.add_user_agent: Final[bool] = bool(config.add_user_agent)
        self.service_cluster: Final[bytes] = b"" if node is None else node.cluster.encode()
        self.service_node: Final[bytes] = b"" if node is None else node.id.encode()
        self.via: Final[bytes] = config.via.encode()
        self.generate_request_id: Final[bool] = config.generate_request_id is not False
        self.preserve_request_id: Final[bool] = config.preserve_external_request_id
        self.kinds: Final[dict[bytes, int]] = dict(_ALWAYS)
        if self.edge:
            self.kinds.update(_AT_THE_EDGE)
        if self.append_port:
            self.kinds[b"x-forwarded-port"] = FORWARDED_PORT
        if self.via:
            self.kinds[b"via"] = VIA
        if self.add_user_agent:
            self.kinds[b"user-agent"] = USER_AGENT
            self.kinds[b"x-envoy-downstream-service-cluster"] = NEVER
            if self.service_node:
                self.kinds[b"x-envoy-downstream-service-node"] = NEVER
        mode = config.forward_client_cert_details
        self.client_cert: Final = ClientCertSnapshot(config)
        if mode is ForwardClientCertDetails.SANITIZE:
            self.kinds[b"x-forwarded-client-cert"] = NEVER
        elif mode is not ForwardClientCertDetails.ALWAYS_FORWARD_ONLY:
            self.kinds[b"x-forwarded-client-cert"] = CLIENT_CERT
