"""Routes: which request goes where."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.core import DataSource, Int64Range, StringMatcher
from proxyd.config.message import UINT32, HeaderName, HeaderText, Message, NonEmpty, Oneof, Seconds

_HEADER_MATCH = Oneof("header_match_specifier")


class HeaderMatcher(Message, frozen=True, kw_only=True):
    """A condition on a request header; without a specifier the header has to be present."""

    proto: ClassVar[str] = "envoy.config.route.v3.HeaderMatcher"

    name: HeaderName
    exact_match: Annotated[str | None, _HEADER_MATCH] = None
    range_match: Annotated[Int64Range | None, _HEADER_MATCH] = None
    present_match: Annotated[bool | None, _HEADER_MATCH] = None
    prefix_match: Annotated[NonEmpty | None, _HEADER_MATCH] = None
    suffix_match: Annotated[NonEmpty | None, _HEADER_MATCH] = None
    contains_match: Annotated[NonEmpty | None, _HEADER_MATCH] = None
    string_match: Annotated[StringMatcher | None, _HEADER_MATCH] = None
    invert_match: bool = False
    treat_missing_header_as_empty: bool = False


_QUERY_MATCH = Oneof("query_parameter_match_specifier")


class QueryParameterMatcher(Message, frozen=True, kw_only=True):
    """A condition on a query parameter; without a specifier the parameter has to be present."""

    proto: ClassVar[str] = "envoy.config.route.v3.QueryParameterMatcher"

    name: Annotated[NonEmpty, Meta(max_length=1024)]
    string_match: Annotated[StringMatcher | None, _QUERY_MATCH] = None
    present_match: Annotated[bool | None, _QUERY_MATCH] = None


_PATH = Oneof("path_specifier", required=True)
_PathSeparatedPrefix = Annotated[
    str,
    Meta(
        pattern="^[^?#]+[^?#/]$",
        extra={"says": 'must have at least two characters, no "?" or "#", and not end with "/"'},
    ),
]


class RouteMatch(Message, frozen=True, kw_only=True):
    """What a request has to look like. Default of case_sensitive: true."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteMatch"

    prefix: Annotated[str | None, _PATH] = None
    path: Annotated[str | None, _PATH] = None
    path_separated_prefix: Annotated[_PathSeparatedPrefix | None, _PATH] = None
    case_sensitive: bool | None = None
    headers: tuple[HeaderMatcher, ...] = ()
    query_parameters: tuple[QueryParameterMatcher, ...] = ()


class ClusterNotFoundResponseCode(enum.IntEnum):
    """``RouteAction.ClusterNotFoundResponseCode``."""

    SERVICE_UNAVAILABLE = 0
    NOT_FOUND = 1
    INTERNAL_SERVER_ERROR = 2


_HOST_REWRITE = Oneof("host_rewrite_specifier")


class RouteAction(Message, frozen=True, kw_only=True):
    """Proxying to a cluster. Default of timeout: 15 s; 0 turns it off."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteAction"

    cluster: NonEmpty
    cluster_not_found_response_code: ClusterNotFoundResponseCode = (
        ClusterNotFoundResponseCode.SERVICE_UNAVAILABLE
    )
    prefix_rewrite: HeaderText = ""
    host_rewrite_literal: Annotated[HeaderText | None, _HOST_REWRITE] = None
    auto_host_rewrite: Annotated[bool | None, _HOST_REWRITE] = None
    timeout: Seconds | None = None
    idle_timeout: Seconds | None = None


class RedirectResponseCode(enum.IntEnum):
    """``RedirectAction.RedirectResponseCode``."""

    MOVED_PERMANENTLY = 0
    FOUND = 1
    SEE_OTHER = 2
    TEMPORARY_REDIRECT = 3
    PERMANENT_REDIRECT = 4


_SCHEME_REWRITE = Oneof("scheme_rewrite_specifier")
_PATH_REWRITE = Oneof("path_rewrite_specifier")


class RedirectAction(Message, frozen=True, kw_only=True):
    """An answer that sends the client elsewhere; what is unset stays as it was in the request."""

    proto: ClassVar[str] = "envoy.config.route.v3.RedirectAction"

    https_redirect: Annotated[bool | None, _SCHEME_REWRITE] = None
    scheme_redirect: Annotated[str | None, _SCHEME_REWRITE] = None
    host_redirect: HeaderText = ""
    port_redirect: Annotated[int, Meta(ge=0, le=65535), UINT32] = 0
    path_redirect: Annotated[HeaderText | None, _PATH_REWRITE] = None
    prefix_rewrite: Annotated[HeaderText | None, _PATH_REWRITE] = None
    response_code: RedirectResponseCode = RedirectResponseCode.MOVED_PERMANENTLY
    strip_query: bool = False


class DirectResponseAction(Message, frozen=True, kw_only=True):
    """An answer from the proxy itself; the body is at most 4096 bytes."""

    proto: ClassVar[str] = "envoy.config.route.v3.DirectResponseAction"

    status: Annotated[int, Meta(ge=200, lt=600), UINT32]
    body: DataSource | None = None


_ACTION = Oneof("action", required=True)


class Route(Message, frozen=True, kw_only=True):
    """A match and what to do; the first route that matches is taken."""

    proto: ClassVar[str] = "envoy.config.route.v3.Route"

    name: str = ""
    match: RouteMatch
    route: Annotated[RouteAction | None, _ACTION] = None
    redirect: Annotated[RedirectAction | None, _ACTION] = None
    direct_response: Annotated[DirectResponseAction | None, _ACTION] = None


class VirtualHost(Message, frozen=True, kw_only=True):
    """The routes of some domains: exact, ``*.suffix``, ``prefix.*`` or ``*``."""

    proto: ClassVar[str] = "envoy.config.route.v3.VirtualHost"

    name: NonEmpty
    domains: Annotated[tuple[HeaderText, ...], Meta(min_length=1)]
    routes: tuple[Route, ...] = ()


class RouteConfiguration(Message, frozen=True, kw_only=True):
    """A whole route table."""

    proto: ClassVar[str] = "envoy.config.route.v3.RouteConfiguration"

    name: str = ""
    virtual_hosts: tuple[VirtualHost, ...] = ()
    ignore_port_in_host_matching: bool = False
