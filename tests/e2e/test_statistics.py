"""Statistics over reloads: what was removed goes, what stays never goes back."""

from tests.e2e.conftest import StartProxyd, config, rewrite
from tests.e2e.load import Load
from tests.e2e.origin import Origin


def test_a_removed_cluster_leaves_the_statistics(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address))
    with Load(proxyd.port(), keep_alive=True, connections=1) as load:
        load.wait_for(5)
    renamed = config(origin.address)
    renamed["static_resources"]["clusters"][0]["name"] = "other"
    for filter_chain in renamed["static_resources"]["listeners"][0]["filter_chains"]:
        manager = filter_chain["filters"][0]["typed_config"]
        manager["route_config"]["virtual_hosts"][0]["routes"][-1]["route"]["cluster"] = "other"
    rewrite(proxyd, renamed)
    proxyd.command("reload", "--wait")
    proxyd.until(lambda: not proxyd.admin("/stats?filter=^cluster.backend")[1], "the old cluster forgotten")
    assert proxyd.counter("cluster.other.upstream_rq_total") == 0
    assert proxyd.counter("http.ingress.downstream_rq_total") == load.answered
