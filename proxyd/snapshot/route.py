"""One route in its compiled form: what the exchange does with a request that matched it."""

from typing import Final

from proxyd.codec.headers import Headers
from proxyd.filters.http_filter import HttpFilterFactory
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.grpc_timeouts import GrpcTimeouts
from proxyd.snapshot.hash_policy import HashPolicies
from proxyd.snapshot.header_mutation import HeaderMutation
from proxyd.snapshot.redirect import Redirect
from proxyd.snapshot.regex import Substitution
from proxyd.snapshot.sources import request_header

# Route.action
ROUTE: Final = 0
REDIRECT: Final = 1
DIRECT_RESPONSE: Final = 2

DEFAULT_TIMEOUT_S: Final = 15.0
NO_TIMEOUT: Final = float("inf")

# What CONNECT requests, which have no path, are looked up by: no path that a request can have.
CONNECT_PATH: Final = b"CONNECT"

WHOLE_PATH: Final = -1  # Route.matched_length: all of the path but its query

_MAX_UINT64: Final = (1 << 64) - 1


class Route:
    """A compiled ``Route`` message. Immutable once the table is built; shared by all requests.

    Only the attributes of its ``action`` say something; the others stay empty.
    """

    __slots__ = (
        "action",
        "append_x_forwarded_host",
        "auto_host_rewrite",
        "body",
        "changes_request",
        "cluster",
        "cluster_header",
        "connect",
        "connect_proxy_protocol",
        "expected_timeout",
        "filters",
        "flush_timeout",
        "grpc_timeouts",
        "hash_policies",
        "host_rewrite",
        "host_rewrite_header",
        "host_rewrite_regex",
        "idle_timeout",
        "least_timeout",
        "matched_length",
        "max_stream_duration",
        "name",
        "not_found_status",
        "prefix_rewrite",
        "redirect",
        "regex_rewrite",
        "request_mutations",
        "response_mutations",
        "status",
        "terminates_connect",
        "timeout",
        "upgrade_filters",
        "upgrades",
        "weight_host_rewrite",
        "weight_mutation",
        "weighted_clusters",
    )

    def __init__(self, name: str, action: int) -> None:
        self.name: str = name
        self.action: int = action
        # Each level that has any, in the order in which they are applied; those of responses with any action.
        self.request_mutations: tuple[HeaderMutation, ...] = ()
        self.response_mutations: tuple[HeaderMutation, ...] = ()
        self.filters: tuple[HttpFilterFactory, ...] | None = None  # at work; None = the connection manager's
        self.upgrade_filters: dict[bytes, tuple[HttpFilterFactory, ...]] | None = None  # of some protocols
        # ROUTE
        self.cluster: str = ""
        self.cluster_header: bytes = b""  # the request header that names the cluster; empty = ``cluster``
        self.weighted_clusters: WeightedClusters | None = None  # the routes that this one stands for
        self.timeout: float = DEFAULT_TIMEOUT_S  # seconds for the whole response; 0 = none
        self.idle_timeout: float = -1.0  # seconds; 0 = none, -1 = the connection manager's applies
        self.max_stream_duration: float = -1.0  # the same
        self.flush_timeout: float = -1.0  # the same
        self.grpc_timeouts: GrpcTimeouts | None = None  # None: what a request says of it does not count
        self.least_timeout: float = NO_TIMEOUT  # the first of these that can pass
        self.expected_timeout: tuple[bytes, bytes] | None = None  # the header that tells it the upstream
        self.hash_policies: HashPolicies | None = None  # of what a host is chosen by
        self.connect: bool = False  # it takes CONNECT requests, and no others
        self.terminates_connect: bool = False  # what is in its tunnel goes to the host as it is
        self.connect_proxy_protocol: int = 0  # behind a PROXY header of this version, 0 for none
        self.upgrades: dict[bytes, bool] | None = None  # protocols to upgrade to, or not; None = as for all
        self.not_found_status: int = 503  # the answer when the cluster does not exist
        # Of the cluster weight that this route stands for: done before all others, the host without a trace.
        self.weight_mutation: HeaderMutation | None = None
        self.weight_host_rewrite: bytes = b""
        self.host_rewrite: bytes = b""  # empty = the client's authority goes upstream
        self.host_rewrite_header: bytes = b""
        self.host_rewrite_regex: Substitution | None = None
        self.auto_host_rewrite: bool = False  # the chosen host's name becomes the authority
        self.append_x_forwarded_host: bool = False
        self.prefix_rewrite: bytes = b""  # empty = the path is left as it is
        self.regex_rewrite: Substitution | None = None
        self.matched_length: int = 0  # bytes of the path that the match consumed, or WHOLE_PATH
        self.changes_request: bool = False  # whether finalize_request has anything to do
        # REDIRECT and DIRECT_RESPONSE
        self.status: int = 0
        self.body: bytes = b""
        self.redirect: Redirect | None = None

    def settle_timeouts(self) -> None:
        """Work out what follows from the timeouts, which do not change any more."""
        times = (self.timeout, self.idle_timeout, self.max_stream_duration)
        self.least_timeout = min((time for time in times if time > 0.0), default=NO_TIMEOUT)
        if self.timeout > 0.0:
            self.expected_timeout = (b"x-envoy-expected-rq-timeout-ms", b"%d" % int(self.timeout * 1000))

    def cluster_name(self, info: StreamInfo) -> str:
        """The cluster for this request; empty where the header that is to name it is missing."""
        if not self.cluster_header:
            return self.cluster
        named = _first_value(info, self.cluster_header)
        return "" if named is None else named.decode("utf-8", "replace")

    def finalize_request(self, info: StreamInfo) -> None:
        """Change a request for its upstream, in Envoy's order: headers, authority, path."""
        if self.weight_mutation is not None:
            self.weight_mutation.apply(info.request_headers, info)
        if self.weight_host_rewrite:
            info.authority = self.weight_host_rewrite
        for mutation in self.request_mutations:
            mutation.apply(info.request_headers, info)
        authority = self._new_authority(info)
        if authority:
            self.rewrite_authority(info, authority)
        path = self.rewrite_path(info.path)
        if path:
            _rewrite(info, path)

    def finalize_response(self, info: StreamInfo) -> None:
        """Change the headers of a response, from a host or from this proxy itself."""
        for mutation in self.response_mutations:
            mutation.apply(info.response_headers, info)

    def _new_authority(self, info: StreamInfo) -> bytes:
        """What takes the authority's place; empty for nothing."""
        if self.host_rewrite:
            return self.host_rewrite
        if self.host_rewrite_header:
            return _first_value(info, self.host_rewrite_header) or b""
        if self.host_rewrite_regex is not None:
            path = info.path
            return self.host_rewrite_regex.replace_all(path[: path_length(path)])
        return b""

    def rewrite_authority(self, info: StreamInfo, authority: bytes) -> None:
        """Ask the upstream for ``authority``; headers tell it which one the client asked for."""
        asked = info.authority
        headers = info.request_headers
        if self.append_x_forwarded_host and asked:
            so_far = b",".join(headers.get_all(b"x-forwarded-host"))
            if not so_far:
                headers.set(b"x-forwarded-host", asked)
            elif so_far.rpartition(b",")[2] != asked:
                headers.set(b"x-forwarded-host", so_far + b"," + asked)
        headers.set(b"x-envoy-original-host", asked)
        info.authority = authority

    def rewrite_path(self, path: bytes) -> bytes:
        """The path (with its query) as the upstream is to see it; empty where it stays as it is.

        ``prefix_rewrite`` replaces what was matched, ``regex_rewrite`` is applied to the path without its
        query, and counts as a rewrite even where it changes nothing. Nothing is rewritten to an empty path.
        """
        if self.prefix_rewrite:
            matched = self.matched_length
            return self.prefix_rewrite + path[path_length(path) if matched == WHOLE_PATH else matched :]
        if self.regex_rewrite is not None:
            length = path_length(path)
            rewritten = self.regex_rewrite.replace_all(path[:length])
            if rewritten:
                return rewritten + path[length:]
        return b""

    def redirect_location(
        self, scheme: bytes, authority: bytes, path: bytes, forwarded_proto: bytes = b""
    ) -> bytes:
        """The ``location`` of a REDIRECT. ``path`` is the request's, with its query.

        ``forwarded_proto`` is the request's x-forwarded-proto where that differs from its scheme: it
        decides which port the client's authority carries by default, as in Envoy.
        """
        redirect = self.redirect
        assert redirect is not None, "only a REDIRECT has a location"
        return redirect.location(scheme, authority, path, self._matched(path), forwarded_proto or scheme)

    def take_location(self, info: StreamInfo) -> bytes:
        """The ``location`` for this request; empty where the answer needs none.

        A path that it rewrites is the request's from now on, for formatters and the access log.
        """
        redirect = self.redirect
        if redirect is None:
            return b""
        location = self.redirect_location(info.scheme, info.authority, info.path)
        path = redirect.rewritten(info.path, self._matched(info.path))
        if path is not info.path:
            _rewrite(info, path)
        return location

    def _matched(self, path: bytes) -> int:
        return path_length(path) if self.matched_length == WHOLE_PATH else self.matched_length


class WeightedClusters:
    """A compiled ``WeightedCluster``: a route for each cluster, and their shares."""

    __slots__ = ("_ends", "_header", "_routes", "_total")

    def __init__(self, routes: list[Route], weights: list[int], header: bytes) -> None:
        """The weights' sum must be positive. ``header`` names the one that decides in place of chance."""
        ends: list[int] = []
        total = 0
        for weight in weights:
            total += weight
            ends.append(total)
        self._routes: Final = routes
        self._ends: Final = ends
        self._total: Final = total
        self._header: Final = header

    def choose(self, draw: int, headers: Headers) -> Route:
        """The route of the cluster into whose share ``draw``, any number from 0, falls."""
        if self._header:
            values = headers.get_all(self._header)
            if len(values) == 1:
                number = _whole_number(values[0])
                if number >= 0:
                    draw = number
        place = draw % self._total
        for index, end in enumerate(self._ends):
            if place < end:
                return self._routes[index]
        raise AssertionError("the remainder is less than the sum")


def _whole_number(text: bytes) -> int:
    """An unsigned number of 64 bits as Envoy reads it, spaces around it allowed; -1 for anything else."""
    digits = text.strip(b" \t").removeprefix(b"+")
    if not digits.isdigit() or len(digits) > 100:
        return -1
    number = int(digits)
    return number if number <= _MAX_UINT64 else -1


def path_length(path: bytes) -> int:
    """Up to where ``path`` goes before its query begins."""
    query = path.find(b"?")
    return len(path) if query < 0 else query


def _rewrite(info: StreamInfo, path: bytes) -> None:
    info.original_path = info.path
    info.request_headers.set(b"x-envoy-original-path", info.path)
    info.path = path


def _first_value(info: StreamInfo, name: bytes) -> bytes | None:
    """The first value of a request header or pseudo header; the authority is ``:authority`` here alone."""
    return None if name == b"host" else request_header(info, name)
