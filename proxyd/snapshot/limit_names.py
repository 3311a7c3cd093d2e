"""The names under which what is limited counts over all workers.

A listener counts under its own. A network filter counts with its chain: as long as that stays as it is
written, whatever becomes of the listener's others, and over a reload; one that is written otherwise begins
anew, as in Envoy.
"""

import hashlib

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.encoding import encode_message
from proxyd.config.filled import chain_as_written, chains
from proxyd.config.listener import FilterChain, Listener
from proxyd.config.network_filters import ConnectionLimit, LocalRateLimit


def limit_names(bootstrap: Bootstrap) -> list[str]:
    """All of a configuration; empty for a listener that has none."""
    listeners = bootstrap.static_resources.listeners
    names = [listener.name for listener in listeners]
    for index, listener in enumerate(listeners):
        for chain in chains(listener):
            names += filter_limit_names(listener_key(listener, index), chain).values()
    return names


def listener_key(listener: Listener, index: int) -> str:
    """By which a listener is known again: its name. One without is static, and stays where it stands."""
    return listener.name or f"#{index}"


def filter_limit_names(key: str, chain: FilterChain) -> dict[int, str]:
    """Those of a chain's filters in front of the last one, by where they stand; ``key`` is the listener's."""
    places = [
        position
        for position, each in enumerate(chain.filters)
        if isinstance(each.typed_config, (ConnectionLimit, LocalRateLimit))
    ]
    if not places:
        return {}
    written = hashlib.sha256(encode_message(chain_as_written(chain))).hexdigest()
    return {position: f"{key}\0{written}\0{position}" for position in places}
