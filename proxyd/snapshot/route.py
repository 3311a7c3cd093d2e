"""One route in its compiled form: what the exchange does with a request that matched it."""

from typing import Final

from proxyd.snapshot.redirect import Redirect

# Route.action
ROUTE: Final = 0
REDIRECT: Final = 1
DIRECT_RESPONSE: Final = 2

DEFAULT_TIMEOUT_S: Final = 15.0


class Route:
    """A compiled ``Route`` message. Immutable once the table is built; shared by all requests.

    Only the attributes of its ``action`` say something; the others stay empty.
    """

    __slots__ = (
        "action",
        "auto_host_rewrite",
        "body",
        "cluster",
        "host_rewrite",
        "idle_timeout",
        "matched_length",
        "name",
        "not_found_status",
        "prefix_rewrite",
        "redirect",
        "status",
        "timeout",
    )

    def __init__(self, name: str, action: int) -> None:
        self.name: str = name
        self.action: int = action
        # ROUTE
        self.cluster: str = ""
        self.timeout: float = DEFAULT_TIMEOUT_S  # seconds for the whole response; 0 = none
        self.idle_timeout: float = -1.0  # seconds; 0 = none, -1 = the connection manager's applies
        self.host_rewrite: bytes = b""  # empty = the client's authority goes upstream
        self.auto_host_rewrite: bool = False  # the chosen host's name becomes the authority
        self.not_found_status: int = 503  # the answer when the cluster does not exist
        self.prefix_rewrite: bytes = b""  # empty = the path is left as it is
        self.matched_length: int = 0  # bytes of the path that the match consumed
        # REDIRECT and DIRECT_RESPONSE
        self.status: int = 0
        self.body: bytes = b""
        self.redirect: Redirect | None = None

    def rewrite_path(self, path: bytes) -> bytes:
        """The path (with its query) as the upstream is to see it; ``path`` itself where nothing is rewritten.

        The matched part is replaced, the rest kept byte for byte (``RouteAction.prefix_rewrite``).
        """
        if not self.prefix_rewrite:
            return path
        return self.prefix_rewrite + path[self.matched_length :]

    def redirect_location(
        self, scheme: bytes, authority: bytes, path: bytes, forwarded_proto: bytes = b""
    ) -> bytes:
        """The ``location`` of a REDIRECT. ``path`` is the request's, with its query.

        ``forwarded_proto`` is the request's x-forwarded-proto where that differs from its scheme: it
        decides which port the client's authority carries by default, as in Envoy.
        """
        redirect = self.redirect
        assert redirect is not None, "only a REDIRECT has a location"
        return redirect.location(scheme, authority, path, self.matched_length, forwarded_proto or scheme)
