import os
import time

from proxyd.config.bootstrap import Bootstrap, StaticResources
from proxyd.config.cluster import Cluster
from proxyd.config.core import Address, SocketAddress
from proxyd.config.listener import Listener
from proxyd.stats.metrics import Registry
from proxyd.supervisor.vitals import Usage, Vitals, flatten


def listener(name: str, port: int) -> Listener:
    address = Address(socket_address=SocketAddress(address="127.0.0.1", port_value=port))
    return Listener(name=name, address=address)


def bootstrap(listeners: tuple[Listener, ...], clusters: tuple[str, ...]) -> Bootstrap:
    resources = StaticResources(listeners=listeners, clusters=tuple(Cluster(name=name) for name in clusters))
    return Bootstrap(static_resources=resources)


def test_what_becomes_of_listeners_and_clusters():
    registry = Registry(None)
    vitals = Vitals(registry)
    first = bootstrap((listener("a", 1), listener("b", 2)), ("x",))
    second = bootstrap((listener("a", 1), listener("b", 3), listener("c", 4)), ())
    vitals.taken_over(1, None, first, workers=2)
    vitals.taken_over(2, first, second, workers=3)
    counters = {name: counter.value for name, counter in registry.counters.items() if counter.value}
    assert counters == {
        "listener_manager.listener_added": 3,
        "listener_manager.listener_modified": 1,
        "listener_manager.listener_create_success": 2 * 2 + 3 * 3,
        "cluster_manager.cluster_added": 1,
        "cluster_manager.cluster_removed": 1,
        "runtime.load_success": 2,
    }
    assert registry.gauges["server.concurrency"].value == 3
    assert registry.gauges["server.hot_restart_epoch"].value == 1
    assert registry.gauges["listener_manager.total_listeners_active"].value == 3
    assert registry.histograms["server.initialization_time_ms"].count == 1


def test_processes_are_measured_and_forgotten():
    vitals = Vitals(Registry(None))
    vitals.look({os.getpid()}, "LIVE", connections=5)
    assert vitals.usage(os.getpid()).memory > 1 << 20
    assert vitals.server.total_connections.value == 5
    assert vitals.server.memory_physical_size.value == vitals.usage(os.getpid()).memory
    vitals.look(set(), "DRAINING", connections=0)
    assert vitals.server.state.value == 1
    assert vitals.server.memory_physical_size.value == 0


def test_processor_use_is_over_the_time_between_two_looks():
    usage = Usage(os.getpid())
    now = time.monotonic()
    usage.look(now)
    usage.cpu_seconds -= 0.5
    usage.look(now + 1.0)
    assert 50.0 <= usage.cpu_percent < 80.0


def test_a_process_that_is_gone_uses_nothing():
    usage = Usage(2**22 - 3)
    usage.look(1.0)
    assert usage.memory == 0


def test_runtime_trees_become_dotted_keys():
    assert flatten({"a": {"b": 1, "c.d": {"e": True}}, "f": "x"}) == {"a.b": 1, "a.c.d.e": True, "f": "x"}
