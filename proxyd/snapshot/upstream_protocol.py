"""What is spoken to a cluster's hosts: ``HttpProtocolOptions``, or the older ``http2_protocol_options``."""

from typing import Final

from proxyd.codec.http2 import Http2Options
from proxyd.config.cluster import HTTP_OPTIONS_KEY, Cluster
from proxyd.config.core import Http1ProtocolOptions, Http2ProtocolOptions
from proxyd.snapshot.http2_options import compile_http2

HTTP1: Final = 0
HTTP2: Final = 1
DOWNSTREAM: Final = 2  # the version that the client speaks
AUTO: Final = 3  # what is agreed on by ALPN


class UpstreamProtocol:
    """``protocol`` with the options of both versions; of no use are those of one that is not spoken."""

    def __init__(self, config: Cluster) -> None:
        self.protocol: int = HTTP1
        self.http1: Http1ProtocolOptions = Http1ProtocolOptions()
        http2: Http2ProtocolOptions | None = config.http2_protocol_options
        options = config.typed_extension_protocol_options.get(HTTP_OPTIONS_KEY)
        if options is None:
            if http2 is not None:
                self.protocol = HTTP2
        elif options.explicit_http_config is not None:
            http2 = options.explicit_http_config.http2_protocol_options
            self.http1 = options.explicit_http_config.http_protocol_options or self.http1
            self.protocol = HTTP1 if http2 is None else HTTP2
        else:
            both = options.use_downstream_protocol_config or options.auto_config
            self.protocol = DOWNSTREAM if options.auto_config is None else AUTO
            if both is not None:
                http2 = both.http2_protocol_options
                self.http1 = both.http_protocol_options or self.http1
        self.http2: Final[Http2Options] = compile_http2(http2)

    def offers(self) -> list[list[str]]:
        """By ALPN, for each kind of connection: of HTTP/1 or of whatever is agreed on, then of HTTP/2."""
        if self.protocol == DOWNSTREAM:
            return [["http/1.1"], ["h2"]]
        if self.protocol == AUTO:
            return [["h2", "http/1.1"]]
        return [["h2" if self.protocol == HTTP2 else "http/1.1"]]
