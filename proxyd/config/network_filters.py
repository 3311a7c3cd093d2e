"""Network filters of few words: echo, and those that look at a connection before the last one has it."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.message import INT64, UINT32, Message, NonEmpty, PositiveSeconds, Seconds

_Positive = Annotated[int, Meta(ge=1, le=0xFFFFFFFF), UINT32]


class Echo(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo",
):
    """Gives back what comes."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.echo.v3.Echo"


class SniCluster(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
):
    """tcp_proxy goes to the cluster that is called like the name asked for in TLS, where there is one."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.sni_cluster.v3.SniCluster"


class RuntimeFeatureFlag(Message, frozen=True, kw_only=True):
    """Whether something is on: as the runtime layers have it under ``runtime_key``, else default_value."""

    proto: ClassVar[str] = "envoy.config.core.v3.RuntimeFeatureFlag"

    default_value: bool
    runtime_key: NonEmpty


class ConnectionLimit(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
):
    """At most ``max_connections`` at a time; more are closed, after ``delay`` where there is one.

    All workers have them together; those that open at the very same moment may be as many more as there are
    other workers.
    """

    proto: ClassVar[str] = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"

    stat_prefix: NonEmpty
    max_connections: Annotated[int, Meta(ge=1, le=(1 << 63) - 1), INT64]
    delay: Seconds | None = None
    runtime_enabled: RuntimeFeatureFlag | None = None


class TokenBucket(Message, frozen=True, kw_only=True):
    """``tokens_per_fill`` tokens, 1 if unset, every ``fill_interval``; never more than ``max_tokens``.

    As in Envoy they come one by one: four a second are one every 250 ms.
    """

    proto: ClassVar[str] = "envoy.type.v3.TokenBucket"

    max_tokens: _Positive
    tokens_per_fill: _Positive | None = None
    fill_interval: PositiveSeconds


class LocalRateLimit(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
):
    """A connection takes a token, or is closed. All workers take from the same bucket."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit"

    stat_prefix: NonEmpty
    token_bucket: TokenBucket
    runtime_enabled: RuntimeFeatureFlag | None = None
