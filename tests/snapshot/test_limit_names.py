"""Under which names things count together."""

from typing import Any

import msgspec

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.snapshot.limit_names import limit_names

NETWORK = "type.googleapis.com/envoy.extensions.filters.network"


def _network(kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": kind, "typed_config": {"@type": f"{NETWORK}.{kind}", **fields}}


def _chain(name: str, most: int) -> dict[str, Any]:
    limit = _network("connection_limit.v3.ConnectionLimit", stat_prefix="a", max_connections=most)
    bucket = _network(
        "local_ratelimit.v3.LocalRateLimit",
        stat_prefix="a",
        token_bucket={"max_tokens": 1, "fill_interval": "1s"},
    )
    match = {"source_ports": [len(name)]}
    echo = _network("echo.v3.Echo")
    return {"name": name, "filter_chain_match": match, "filters": [limit, bucket, limit, echo]}


def _names(*listeners: tuple[str, list[dict[str, Any]]]) -> list[str]:
    made = [
        {
            **({"name": name} if name else {}),
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1 + index}},
            "filter_chains": chains,
        }
        for index, (name, chains) in enumerate(listeners)
    ]
    text = msgspec.json.encode({"static_resources": {"listeners": made}}).decode()
    return limit_names(load_text(Text("test", text)))


def test_everything_that_is_limited_has_a_name_of_its_own() -> None:
    chains = [_chain("a", 1), _chain("bb", 1)]
    names = _names(("one", chains), ("", chains), ("", chains))
    assert names[:3] == ["one", "", ""]
    assert len(names[3:]) == len(set(names[3:])) == 3 * 2 * 3


def test_a_filter_counts_on_while_its_chain_is_written_alike() -> None:
    before = _names(("one", [_chain("a", 1), _chain("bb", 1)]))
    after = _names(("one", [_chain("bb", 1), _chain("a", 2)]))
    assert after[1:4] == before[4:7]
    assert not set(after[4:7]) & set(before)


def test_chains_without_limits_have_no_name() -> None:
    chain = {"filters": [_network("echo.v3.Echo")]}
    assert _names(("one", [chain])) == ["one"]
