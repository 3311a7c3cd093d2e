"""How a cluster's hosts share its requests, in the old way (``lb_policy``) and the new one."""

import enum
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from proxyd.config.message import INT64, UINT32, HeaderText, Message, NonEmpty

# Envoy's defaults of RING_HASH.
MINIMUM_RING: Final = 1024
MAXIMUM_RING: Final = 8388608

_RingSize = Annotated[int, Meta(ge=1, le=8388608), INT64]
_TableSize = Annotated[int, Meta(ge=1, le=5000011), INT64]
_ChoiceCount = Annotated[int, Meta(ge=2, le=0xFFFFFFFF), UINT32]


class RuntimeDouble(Message, frozen=True, kw_only=True):
    """A number, as the runtime layers have it under ``runtime_key``, else the default value."""

    proto: ClassVar[str] = "envoy.config.core.v3.RuntimeDouble"

    default_value: Annotated[float, Meta(ge=0)] = 0.0
    runtime_key: str = ""


class LbPolicy(enum.IntEnum):
    """``Cluster.LbPolicy``."""

    ROUND_ROBIN = 0
    LEAST_REQUEST = 1
    RING_HASH = 2
    RANDOM = 3
    MAGLEV = 5
    CLUSTER_PROVIDED = 6  # by what the cluster is: ORIGINAL_DST
    LOAD_BALANCING_POLICY_CONFIG = 7  # what load_balancing_policy says


class RoundRobinLbConfig(Message, frozen=True, kw_only=True):
    """Options of ROUND_ROBIN: none so far."""

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig"


class LeastRequestLbConfig(Message, frozen=True, kw_only=True):
    """Options of LEAST_REQUEST. Defaults: choice_count 2, active_request_bias 1.

    Where weights differ, a host's weight is divided by its active requests + 1 to the power of
    active_request_bias, and hosts take turns by that.
    """

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig"

    choice_count: _ChoiceCount | None = None
    active_request_bias: RuntimeDouble | None = None


class OriginalDstLbConfig(Message, frozen=True, kw_only=True):
    """Options of ORIGINAL_DST. Default of http_header_name: x-envoy-original-dst-host.

    With ``use_http_header`` a request's header, ``ip:port``, says where it goes; whoever can set it chooses.
    ``upstream_port_override`` replaces the port, whoever has said it.
    """

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig"

    use_http_header: bool = False
    http_header_name: HeaderText = ""
    upstream_port_override: Annotated[int, Meta(ge=0, le=65535), UINT32] | None = None


class RingHashFunction(enum.IntEnum):
    """``Cluster.RingHashLbConfig.HashFunction``."""

    XX_HASH = 0


class RingHashLbConfig(Message, frozen=True, kw_only=True):
    """Options of RING_HASH: how many points hosts have on the ring together. Defaults: 1024, 8388608.

    What hashes alike, by what the filter or route hashes, goes to the same host; what is not hashed goes to
    any.
    """

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster.RingHashLbConfig"

    minimum_ring_size: _RingSize | None = None
    hash_function: RingHashFunction = RingHashFunction.XX_HASH
    maximum_ring_size: _RingSize | None = None


class MaglevLbConfig(Message, frozen=True, kw_only=True):
    """Options of MAGLEV, which hashes as RING_HASH does: a prime number, 65537 if unset."""

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster.MaglevLbConfig"

    table_size: _TableSize | None = None


class RoundRobin(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
):
    """Every host in its turn, heavy ones more often."""

    proto: ClassVar[str] = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"


class LeastRequest(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
):
    """Of some hosts the one with the fewest requests under way.

    Defaults: choice_count 2, active_request_bias 1, as in ``LeastRequestLbConfig``.
    """

    proto: ClassVar[str] = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"

    choice_count: _ChoiceCount | None = None
    active_request_bias: RuntimeDouble | None = None


class Random(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random",
):
    """Any host; weights are not looked at."""

    proto: ClassVar[str] = "envoy.extensions.load_balancing_policies.random.v3.Random"


class RingHashPolicyFunction(enum.IntEnum):
    """``RingHash.HashFunction``."""

    DEFAULT_HASH = 0
    XX_HASH = 1


class RingHash(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
):
    """The same as ``RingHashLbConfig``."""

    proto: ClassVar[str] = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash"

    hash_function: RingHashPolicyFunction = RingHashPolicyFunction.DEFAULT_HASH
    minimum_ring_size: _RingSize | None = None
    maximum_ring_size: _RingSize | None = None


class Maglev(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
):
    """The same as ``MaglevLbConfig``."""

    proto: ClassVar[str] = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev"

    table_size: _TableSize | None = None


class TypedExtensionConfig(Message, frozen=True, kw_only=True):
    """A policy by name and type."""

    proto: ClassVar[str] = "envoy.config.core.v3.TypedExtensionConfig"

    name: NonEmpty
    typed_config: RoundRobin | LeastRequest | Random | RingHash | Maglev


class Policy(Message, frozen=True, kw_only=True):
    """One policy of several."""

    proto: ClassVar[str] = "envoy.config.cluster.v3.LoadBalancingPolicy.Policy"

    typed_extension_config: TypedExtensionConfig


class LoadBalancingPolicy(Message, frozen=True, kw_only=True):
    """Policies of which the first that is known is used: here always the first."""

    proto: ClassVar[str] = "envoy.config.cluster.v3.LoadBalancingPolicy"

    policies: Annotated[tuple[Policy, ...], Meta(min_length=1)]
