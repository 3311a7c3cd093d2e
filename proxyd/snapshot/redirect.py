"""Where a redirect sends the client (``RedirectAction``)."""

from typing import Final

from proxyd.snapshot.regex import Substitution

_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


class Redirect:
    """A compiled ``RedirectAction``; ``location`` assembles the URL from it and the request."""

    __slots__ = (
        "host",
        "path",
        "path_has_query",
        "port",
        "prefix_rewrite",
        "regex_rewrite",
        "scheme",
        "strip_query",
    )

    def __init__(
        self,
        scheme: bytes,
        host: bytes,
        port: bytes,
        path: bytes,
        prefix_rewrite: bytes,
        strip_query: bool,
        regex_rewrite: Substitution | None = None,
    ) -> None:
        """Empty parts are taken from the request; ``port`` is written as ``:8443``."""
        self.scheme: Final = scheme
        self.host: Final = host
        self.port: Final = port
        self.path: Final = path
        self.path_has_query: Final = b"?" in path
        self.prefix_rewrite: Final = prefix_rewrite
        self.regex_rewrite: Final = regex_rewrite
        self.strip_query: Final = strip_query

    def location(
        self, scheme: bytes, authority: bytes, path: bytes, matched_length: int, forwarded_proto: bytes
    ) -> bytes:
        """The URL to send the client to; ``matched_length`` bytes of ``path`` were matched by the route."""
        new_scheme = self.scheme or scheme
        host = self.host or self._request_host(authority, new_scheme, forwarded_proto)
        new_path = self._path(path, matched_length)
        if not new_path.startswith(b"/"):
            new_path = b"/" + new_path
        return new_scheme + b"://" + host + self.port + new_path

    def rewritten(self, path: bytes, matched_length: int) -> bytes:
        """The path after prefix_rewrite or regex_rewrite; ``path`` itself where it stays as it is."""
        if self.prefix_rewrite:
            return self.prefix_rewrite + path[matched_length:]
        if self.regex_rewrite is not None:
            query = path.find(b"?")
            length = len(path) if query < 0 else query
            rewritten = self.regex_rewrite.replace_all(path[:length])
            if rewritten:
                return rewritten + path[length:]
        return path

    def _path(self, path: bytes, matched_length: int) -> bytes:
        if self.path:
            if self.path_has_query:  # its own query wins, and strip_query does not touch it
                return self.path
            query = path.find(b"?")
            if query < 0 or self.strip_query:
                return self.path
            return self.path + path[query:]
        path = self.rewritten(path, matched_length)
        if self.strip_query:
            query = path.find(b"?")
            if query >= 0:
                return path[:query]
        return path

    def _request_host(self, authority: bytes, new_scheme: bytes, forwarded_proto: bytes) -> bytes:
        """The client's authority, without a port that the redirect replaces or makes wrong."""
        if authority.startswith(b"["):
            colon = authority.rfind(b"]:")
            if colon >= 0:
                colon += 1
        else:
            colon = authority.rfind(b":")
        if colon < 0:
            return authority
        if self.port:
            return authority[:colon]
        if new_scheme != forwarded_proto and authority[colon:] == _DEFAULT_PORTS.get(forwarded_proto):
            return authority[:colon]
        return authority


class TlsRedirect(Redirect):
    """Where ``VirtualHost.require_tls`` sends the client: the same URL by https, whatever port it names."""

    def __init__(self) -> None:
        super().__init__(b"https", b"", b"", b"", b"", False)

    def location(
        self, scheme: bytes, authority: bytes, path: bytes, matched_length: int, forwarded_proto: bytes
    ) -> bytes:
        return b"https://" + authority + path
