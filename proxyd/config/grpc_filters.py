"""HTTP filters for gRPC: statistics of it, and gRPC for clients that cannot speak it."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.message import Message, NonEmpty, Oneof


class Service(Message, frozen=True, kw_only=True):
    """Methods of one gRPC service."""

    proto: ClassVar[str] = "envoy.config.core.v3.GrpcMethodList.Service"

    name: NonEmpty
    method_names: Annotated[tuple[str, ...], Meta(min_length=1)]


class GrpcMethodList(Message, frozen=True, kw_only=True):
    """Some gRPC methods."""

    proto: ClassVar[str] = "envoy.config.core.v3.GrpcMethodList"

    services: tuple[Service, ...] = ()


_NAMES = Oneof("per_method_stat_specifier")


class FilterConfig(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
):
    """Counts gRPC calls, their messages and their ends, by cluster and as far as is said by method.

    With stats_for_all_methods clients choose the names: 1,000 methods a worker and listener have some of
    their own, the others count together. replace_dots_in_grpc_service_name goes with it alone.
    emit_filter_state can only be false.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"

    individual_method_stats_allowlist: Annotated[GrpcMethodList | None, _NAMES] = None
    stats_for_all_methods: Annotated[bool | None, _NAMES] = None
    emit_filter_state: bool = False
    enable_upstream_stats: bool = False
    replace_dots_in_grpc_service_name: bool = False


class GrpcWeb(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
):
    """Calls of browsers (gRPC-Web, binary and base64) become gRPC, and the answers gRPC-Web."""

    proto: ClassVar[str] = "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"


class Config(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.http.grpc_http1_bridge.v3.Config",
):
    """Calls of clients of HTTP/1, which need no trailers: the whole answer with its status in the head.

    With upgrade_protobuf_to_grpc a body of type ``application/x-protobuf`` is a message of gRPC; with
    ignore_query_parameters the path of a call loses its query.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config"

    upgrade_protobuf_to_grpc: bool = False
    ignore_query_parameters: bool = False
