"""The HTTP filters of a connection manager's chain, and what routes say of them."""

from typing import ClassVar, Final

from proxyd.config.grpc_filters import Config as GrpcHttp1Bridge
from proxyd.config.grpc_filters import FilterConfig as GrpcStats
from proxyd.config.grpc_filters import GrpcWeb
from proxyd.config.message import JsonObject, Message, NonEmpty

ROUTER: Final = "envoy.filters.http.router"


class Router(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
):
    """The last HTTP filter: it carries the request to the cluster."""

    proto: ClassVar[str] = "envoy.extensions.filters.http.router.v3.Router"


class HttpFilter(Message, frozen=True, kw_only=True):
    """One filter of the chain. A ``disabled`` one is at work for the routes whose FilterConfig says so.

    is_optional changes nothing: a filter that proxyd does not know is refused in any case.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"

    name: NonEmpty
    typed_config: Router | GrpcStats | GrpcWeb | GrpcHttp1Bridge
    is_optional: bool = False
    disabled: bool = False


class FilterConfig(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.config.route.v3.FilterConfig",
):
    """Whether the filter of this name is at work for a route: not if ``disabled``, else with an empty config.

    What is said nearest to the route counts: of the cluster weight, the route, the virtual host, the table.
    """

    proto: ClassVar[str] = "envoy.config.route.v3.FilterConfig"

    config: JsonObject | None = None
    is_optional: bool = False
    disabled: bool = False


TypedPerFilterConfig = dict[str, FilterConfig]
