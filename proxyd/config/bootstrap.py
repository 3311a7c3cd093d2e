"""The whole of a configuration, from the top."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.access_log import AccessLog
from proxyd.config.cluster import Cluster
from proxyd.config.core import Address, Node, StringMatcher
from proxyd.config.discovery import DynamicResources
from proxyd.config.listener import Listener
from proxyd.config.message import DURATION, JsonObject, Message, NonEmpty, Oneof
from proxyd.config.tls import Secret


class Admin(Message, frozen=True, kw_only=True):
    """The admin API; without ``address`` there is none, without ``allow_paths`` it is whole."""

    proto: ClassVar[str] = "envoy.config.bootstrap.v3.Admin"

    access_log: tuple[AccessLog, ...] = ()
    address: Address | None = None
    allow_paths: tuple[StringMatcher, ...] = ()


class AdminLayer(Message, frozen=True, kw_only=True):
    """The runtime layer that ``/runtime_modify`` writes."""

    proto: ClassVar[str] = "envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer"


_LAYER = Oneof("layer_specifier", required=True)


class RuntimeLayer(Message, frozen=True, kw_only=True):
    """Runtime values; a later layer overrides an earlier one."""

    proto: ClassVar[str] = "envoy.config.bootstrap.v3.RuntimeLayer"

    name: NonEmpty
    static_layer: Annotated[JsonObject | None, _LAYER] = None
    admin_layer: Annotated[AdminLayer | None, _LAYER] = None


class LayeredRuntime(Message, frozen=True, kw_only=True):
    """All runtime layers."""

    proto: ClassVar[str] = "envoy.config.bootstrap.v3.LayeredRuntime"

    layers: tuple[RuntimeLayer, ...] = ()


class StaticResources(Message, frozen=True, kw_only=True):
    """What is known at load."""

    proto: ClassVar[str] = "envoy.config.bootstrap.v3.Bootstrap.StaticResources"

    listeners: tuple[Listener, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    secrets: tuple[Secret, ...] = ()


class Bootstrap(Message, frozen=True, kw_only=True):
    """A configuration file. Default of stats_flush_interval: 5 s."""

    proto: ClassVar[str] = "envoy.config.bootstrap.v3.Bootstrap"

    node: Node | None = None
    admin: Admin | None = None
    static_resources: StaticResources = StaticResources()
    dynamic_resources: DynamicResources | None = None
    layered_runtime: LayeredRuntime | None = None
    stats_flush_interval: Annotated[float, Meta(ge=0.001, lt=300), DURATION] | None = None
