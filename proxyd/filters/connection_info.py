"""What is known of one downstream connection: Envoy's ConnectionInfoProvider."""

from typing import Final

from proxyd.filters.tls_info import TlsInfo


class ConnectionInfo:
    """The two ends of a downstream connection, as ``ip:port`` text; empty until it is open."""

    __slots__ = (
        "client_cert", "filter_chain_name", "forwarded", "id", "local_address", "protocol", "remote_address",
        "remote_ip", "server_name", "tls", "transport_failure_reason",
    )  # fmt: skip

    def __init__(self) -> None:
        self.id: int = 0
        self.filter_chain_name: str = ""
        self.forwarded: object | None = None  # what net.forwarding keeps for the next request
        self.protocol: str = "HTTP/1.1"  # of its requests, unless one says HTTP/1.0
        self.remote_ip: str = ""
        self.remote_address: str = ""
        self.local_address: str = ""
        self.tls: TlsInfo | None = None  # once a handshake has ended well
        self.client_cert: bytes | None = None  # what forwarded headers say of the client's certificate
        self.server_name: str = ""  # that the client has asked for in TLS
        self.transport_failure_reason: str = ""  # why TLS has failed


# Of a request that no connection has brought. Nobody changes it.
NO_CONNECTION: Final = ConnectionInfo()
