"""What is known of one downstream connection: Envoy's ConnectionInfoProvider."""

from typing import Final

from proxyd.filters.tls_info import TlsInfo


class ConnectionInfo:
    """The two ends of a downstream connection, as ``ip:port`` text; empty until it is open."""

    __slots__ = (
        "client_cert", "cluster", "direct_local_address", "direct_remote_address", "filter_chain_name",
        "forwarded", "id", "local_address", "original_destination", "protocol", "remote_address",
        "remote_ip", "server_name", "termination_details", "tls", "transport_failure_reason",
    )  # fmt: skip

    def __init__(self) -> None:
        self.id: int = 0
        self.filter_chain_name: str = ""
        self.forwarded: object | None = None  # what net.forwarding keeps for the next request
        self.protocol: str = "HTTP/1.1"  # of its requests, unless one says HTTP/1.0
        self.remote_ip: str = ""
        self.remote_address: str = ""
        self.local_address: str = ""
        self.original_destination: tuple[str, int] | None = None  # where the client meant to go, if known
        self.direct_remote_address: str = ""  # of the socket; the others may be what a PROXY header says
        self.direct_local_address: str = ""
        self.tls: TlsInfo | None = None  # once a handshake has ended well
        self.client_cert: bytes | None = None  # what forwarded headers say of the client's certificate
        self.cluster: str = ""  # whose hosts tcp_proxy goes to, where a filter has chosen
        self.server_name: str = ""  # that the client has asked for in TLS
        self.termination_details: str = ""  # why a filter has closed it
        self.transport_failure_reason: str = ""  # why TLS has failed

    def take(self, other: "ConnectionInfo") -> None:
        """What was found out about the connection before its filter chain was."""
        self.remote_ip = other.remote_ip
        self.remote_address = other.remote_address
        self.local_address = other.local_address
        self.original_destination = other.original_destination
        self.direct_remote_address = other.direct_remote_address
        self.direct_local_address = other.direct_local_address
        self.server_name = other.server_name


# Of a request that no connection has brought. Nobody changes it.
NO_CONNECTION: Final = ConnectionInfo()
