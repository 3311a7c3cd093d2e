"""How a cluster chooses its hosts, in compiled form."""

from typing import Final

from proxyd.config.cluster import Cluster
from proxyd.config.load_balancing import LbPolicy, LeastRequest, Random

ROUND_ROBIN: Final = 0
LEAST_REQUEST: Final = 1
RANDOM: Final = 2

_CHOICE_COUNT: Final = 2  # Envoy's default


class LoadBalancing:
    """One of the policies above with its options; those of others have their defaults."""

    def __init__(self, policy: int, choice_count: int, active_request_bias: float) -> None:
        self.policy: Final = policy
        self.choice_count: Final = choice_count
        self.active_request_bias: Final = active_request_bias


def compile_load_balancing(config: Cluster) -> LoadBalancing:
    """What ``load_balancing_policy`` says where it is set, else ``lb_policy`` and its options."""
    policy = ROUND_ROBIN
    choice_count: int | None = None
    if config.load_balancing_policy is not None:
        chosen = config.load_balancing_policy.policies[0].typed_extension_config.typed_config
        if isinstance(chosen, LeastRequest):
            policy = LEAST_REQUEST
            choice_count = chosen.choice_count
        elif isinstance(chosen, Random):
            policy = RANDOM
    elif config.lb_policy == LbPolicy.LEAST_REQUEST:
        policy = LEAST_REQUEST
        options = config.least_request_lb_config
        choice_count = None if options is None else options.choice_count
    elif config.lb_policy == LbPolicy.RANDOM:
        policy = RANDOM
    return LoadBalancing(policy, choice_count or _CHOICE_COUNT, 1.0)
