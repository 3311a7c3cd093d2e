"""How a cluster chooses its hosts, in compiled form."""

from typing import Final

from proxyd.config.cluster import Cluster
from proxyd.config.load_balancing import (
    MAXIMUM_RING,
    MINIMUM_RING,
    LbPolicy,
    LeastRequest,
    LeastRequestLbConfig,
    Maglev,
    MaglevLbConfig,
    Random,
    RingHash,
    RingHashLbConfig,
    RuntimeDouble,
)
from proxyd.config.message import Message
from proxyd.snapshot.runtime import Runtime

ROUND_ROBIN: Final = 0
LEAST_REQUEST: Final = 1
RANDOM: Final = 2
RING_HASH: Final = 3
MAGLEV: Final = 4

# Envoy's defaults.
_CHOICE_COUNT: Final = 2
_TABLE_SIZE: Final = 65537
_BIAS: Final = 1.0
_MOST_BIAS: Final = 100.0  # powers of more can be greater than any number


class LoadBalancing:
    """One of the policies above with its options; those of others have their defaults."""

    def __init__(self, policy: int, choice_count: int, active_request_bias: float) -> None:
        self.policy: Final = policy
        self.choice_count: Final = choice_count
        self.active_request_bias: Final = active_request_bias
        self.least_ring: int = MINIMUM_RING
        self.most_ring: int = MAXIMUM_RING
        self.table_size: int = _TABLE_SIZE

    @property
    def hashes(self) -> bool:
        """Whether it asks for a hash of what a host is chosen for."""
        return self.policy in (RING_HASH, MAGLEV)


def compile_load_balancing(config: Cluster, runtime: Runtime) -> LoadBalancing:
    """What ``load_balancing_policy`` says where it is set, else ``lb_policy`` and its options."""
    hashing = _hashing(config)
    if hashing is not None:
        return hashing
    policy = ROUND_ROBIN
    options: LeastRequest | LeastRequestLbConfig | None = None
    if config.load_balancing_policy is not None:
        chosen = config.load_balancing_policy.policies[0].typed_extension_config.typed_config
        if isinstance(chosen, LeastRequest):
            policy = LEAST_REQUEST
            options = chosen
        elif isinstance(chosen, Random):
            policy = RANDOM
    elif config.lb_policy == LbPolicy.LEAST_REQUEST:
        policy = LEAST_REQUEST
        options = config.least_request_lb_config
    elif config.lb_policy == LbPolicy.RANDOM:
        policy = RANDOM
    if options is None:
        return LoadBalancing(policy, _CHOICE_COUNT, _BIAS)
    bias = _bias(options.active_request_bias, runtime)
    return LoadBalancing(policy, options.choice_count or _CHOICE_COUNT, bias)


def _hashing(config: Cluster) -> LoadBalancing | None:
    """One of the two policies that hash, if it is one of them."""
    chosen: Message | None = None
    if config.load_balancing_policy is not None:
        chosen = config.load_balancing_policy.policies[0].typed_extension_config.typed_config
    elif config.lb_policy == LbPolicy.RING_HASH:
        chosen = config.ring_hash_lb_config or RingHashLbConfig()
    elif config.lb_policy == LbPolicy.MAGLEV:
        chosen = config.maglev_lb_config or MaglevLbConfig()
    if isinstance(chosen, (RingHashLbConfig, RingHash)):
        made = LoadBalancing(RING_HASH, _CHOICE_COUNT, _BIAS)
        if chosen.minimum_ring_size is not None:
            made.least_ring = chosen.minimum_ring_size
        if chosen.maximum_ring_size is not None:
            made.most_ring = chosen.maximum_ring_size
        return made
    if isinstance(chosen, (MaglevLbConfig, Maglev)):
        made = LoadBalancing(MAGLEV, _CHOICE_COUNT, _BIAS)
        if chosen.table_size is not None:
            made.table_size = chosen.table_size
        return made
    return None


def _bias(config: RuntimeDouble | None, runtime: Runtime) -> float:
    if config is None:
        return _BIAS
    bias = config.default_value
    value = runtime.get(config.runtime_key) if config.runtime_key else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        bias = float(value)
    return min(bias, _MOST_BIAS)
