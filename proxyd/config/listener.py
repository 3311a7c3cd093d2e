"""Listeners: where clients connect, and what is done with their bytes."""

from typing import ClassVar

from proxyd.config.core import Address, TrafficDirection
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.message import Message, NonEmpty, UInt32


class Filter(Message, frozen=True, kw_only=True):
    """A network filter."""

    proto: ClassVar[str] = "envoy.config.listener.v3.Filter"

    name: NonEmpty
    typed_config: HttpConnectionManager


class FilterChain(Message, frozen=True, kw_only=True):
    """What a connection goes through."""

    proto: ClassVar[str] = "envoy.config.listener.v3.FilterChain"

    filters: tuple[Filter, ...] = ()
    name: str = ""


class AdditionalAddress(Message, frozen=True, kw_only=True):
    """One more address of the same listener."""

    proto: ClassVar[str] = "envoy.config.listener.v3.AdditionalAddress"

    address: Address


class Listener(Message, frozen=True, kw_only=True):
    """One listener.

    Defaults of what is ``None``: per_connection_buffer_limit_bytes 1 MiB, enable_reuse_port true,
    tcp_backlog_size the system's limit.
    """

    proto: ClassVar[str] = "envoy.config.listener.v3.Listener"

    name: str = ""
    address: Address
    additional_addresses: tuple[AdditionalAddress, ...] = ()
    stat_prefix: str = ""
    filter_chains: tuple[FilterChain, ...] = ()
    per_connection_buffer_limit_bytes: UInt32 | None = None
    traffic_direction: TrafficDirection = TrafficDirection.UNSPECIFIED
    tcp_backlog_size: UInt32 | None = None
    enable_reuse_port: bool | None = None
