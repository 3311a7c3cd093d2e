"""Sums over workers: reload, retire, kill, reset. No counter ever goes back."""

import logging
import random
import struct

import pytest

from proxyd.stats.block import DEFAULT_SIZE, BlockReader, LayoutMismatchError, size_for
from proxyd.stats.metrics import PLAIN, Registry
from proxyd.stats.scopes import ClusterStats, HostStats, HttpStats, ProcessStats
from proxyd.stats.sums import Sum
from proxyd.stats.totals import Totals
from proxyd.supervisor.succession import Ledger


class Worker:
    """What a worker process does to its block."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(1 << 20))
        self.registry = Registry(self.memory)


def attached(totals: Totals, number: int) -> Worker:
    worker = Worker()
    totals.attach(number, worker.memory.toreadonly())
    return worker


def test_workers_and_the_supervisors_own_are_added_up() -> None:
    own = Registry()
    totals = Totals(own)
    own.counter("c").value = 100
    own.text("t").value = "word"
    for number in (1, 2):
        worker = attached(totals, number)
        worker.registry.counter("c").value = number
        worker.registry.gauge("g").value = 10 * number
        worker.registry.gauge("hosts", shared=True).value = 3
        worker.registry.histogram("h", PLAIN).record(number)
        worker.registry.publish()
    view = totals.read()
    assert view.counters == {"c": 103}
    assert view.gauges == {"g": 30, "hosts": 3}
    assert view.histograms["h"].cumulative.count == 2
    assert view.histograms["h"].cumulative.sum == 3.0
    assert view.texts == {"t": "word"}
    assert view.used == {"c", "g", "hosts", "h"}


def test_a_retired_worker_leaves_counters_and_histograms_but_no_gauges() -> None:
    totals = Totals(Registry())
    worker = attached(totals, 1)
    worker.registry.counter("c").value = 5
    worker.registry.gauge("g").value = 7
    worker.registry.histogram("h").record(1000)
    worker.registry.zero_counters("z.", "never")
    worker.registry.publish()
    totals.retire(1)
    view = totals.read()
    assert view.counters == {"c": 5}
    assert view.gauges == {}
    assert view.histograms["h"].cumulative.count == 1


def test_two_generations_overlap_and_a_killed_worker_loses_what_it_had_not_published() -> None:
    totals = Totals(Registry())
    old = attached(totals, 1)
    new = attached(totals, 2)
    old.registry.counter("c").value = 10
    old.registry.publish()
    old.registry.counter("c").value = 15  # killed before it could publish the five
    new.registry.counter("c").value = 1
    new.registry.publish()
    assert totals.read().counters["c"] == 11
    totals.retire(1)
    assert totals.read().counters["c"] == 11
    new.registry.counter("c").value = 4
    new.registry.publish()
    assert totals.read().counters["c"] == 14


def test_no_counter_goes_back_whatever_happens_to_workers() -> None:
    chance = random.Random(7)
    totals = Totals(Registry())
    workers: dict[int, Worker] = {}
    seen: dict[str, int] = {}
    recorded = 0
    for step in range(400):
        action = chance.random()
        if action < 0.1 or not workers:
            workers[step] = attached(totals, step)
        elif action < 0.17:
            number = chance.choice(list(workers))
            del workers[number]
            totals.retire(number)
        else:
            worker = chance.choice(list(workers.values()))
            worker.registry.counter(f"c{chance.randrange(20)}").value += chance.randrange(5)
            worker.registry.histogram("h").record(chance.randrange(10**6))
            if action > 0.5:
                worker.registry.publish()
        view = totals.read()
        for name, value in seen.items():
            assert view.counters[name] >= value
        count = view.histograms["h"].cumulative.count if "h" in view.histograms else 0
        assert count >= recorded
        seen, recorded = view.counters, count


def test_reset_starts_counters_at_zero_without_asking_workers() -> None:
    totals = Totals(Registry())
    worker = attached(totals, 1)
    worker.registry.counter("c").value = 5
    HostStats(worker.registry, "k", "1.2.3.4:5").cx_total.value = 9
    worker.registry.histogram("h").record(3)
    worker.registry.publish()
    totals.reset_counters()
    view = totals.read()
    assert view.counters["c"] == 0
    assert "c" in view.used
    assert view.hidden["host.k;1.2.3.4:5.cx_total"] == 9
    assert view.histograms["h"].cumulative.count == 1
    worker.registry.counter("c").value += 2
    worker.registry.publish()
    assert totals.read().counters["c"] == 2
    totals.retire(1)
    assert totals.read().counters["c"] == 2


def test_interval_is_the_last_whole_interval() -> None:
    totals = Totals(Registry())
    worker = attached(totals, 1)
    histogram = worker.registry.histogram("h", PLAIN)
    histogram.record(1)
    worker.registry.publish()
    assert totals.read().histograms["h"].interval.count == 0
    totals.tick()
    histogram.record(2)
    histogram.record(2)
    worker.registry.publish()
    assert totals.read().histograms["h"].interval.count == 1
    assert totals.read().histograms["h"].cumulative.count == 3
    totals.tick()
    assert totals.read().histograms["h"].interval.count == 2
    totals.tick()
    assert totals.read().histograms["h"].interval.count == 0


def test_the_interval_survives_the_worker_that_recorded_it() -> None:
    totals = Totals(Registry())
    worker = attached(totals, 1)
    totals.tick()
    worker.registry.histogram("h", PLAIN).record(1)
    worker.registry.publish()
    totals.retire(1)
    totals.tick()
    assert totals.read().histograms["h"].interval.count == 1


def test_used_is_what_was_ever_written() -> None:
    totals = Totals(Registry())
    worker = attached(totals, 1)
    gauge = worker.registry.gauge("came.and.went")
    worker.registry.gauge("never")
    worker.registry.counter("zero")
    gauge.value = 1
    worker.registry.publish()
    gauge.value = 0
    worker.registry.publish()
    assert totals.read().used == {"came.and.went"}


def test_zero_names_are_shown_unless_somebody_counts_them() -> None:
    own = Registry()
    totals = Totals(own)
    worker = attached(totals, 1)
    worker.registry.zero_counters("a.", "x y")
    worker.registry.zero_gauges("a.", "z")
    own.counter("a.x").value = 4
    view = totals.read()
    assert view.counters == {"a.x": 4, "a.y": 0}
    assert view.gauges == {"a.z": 0}


def test_a_worker_that_has_not_begun_counts_as_nothing() -> None:
    totals = Totals(Registry())
    shared = memoryview(bytearray(1 << 16))
    totals.attach(1, shared)
    assert totals.read().counters == {}
    assert totals.worker(1).pid == 0
    Registry(shared).counter("late")
    assert totals.read().counters == {"late": 0}
    totals.check(1)


def test_another_layout_is_refused_and_never_spoils_the_others(caplog: pytest.LogCaptureFixture) -> None:
    totals = Totals(Registry())
    good = attached(totals, 1)
    good.registry.counter("c").value = 1
    good.registry.publish()
    late = memoryview(bytearray(1 << 16))
    totals.attach(2, late)
    Registry(late)
    struct.pack_into("=q", late, 8, 99)
    with pytest.raises(LayoutMismatchError, match="version 99"):
        totals.check(2)
    with pytest.raises(LayoutMismatchError):
        totals.attach(3, late)
    with caplog.at_level(logging.ERROR):
        assert totals.read().counters == {"c": 1}
        totals.retire(2)
    assert "worker 2" in caplog.text


def test_numbers_of_one_worker() -> None:
    totals = Totals(Registry())
    worker = attached(totals, 1)
    for prefix in ("a", "b"):
        http = HttpStats(worker.registry, prefix)
        http.downstream_cx_active.value = 2
        http.downstream_rq_active.value = 1
        http.downstream_rq_total.value = 10
    process = ProcessStats(worker.registry)
    process.loop_lag_us.value = 300
    process.loop_lag_max_us.value = 900
    worker.registry.publish()
    worker.registry.heartbeat(4.0)
    numbers = totals.worker(1)
    assert (numbers.connections, numbers.requests_active, numbers.requests_total) == (4, 2, 20)
    assert (numbers.loop_lag_us, numbers.loop_lag_max_us) == (300, 900)
    assert numbers.heartbeat == totals.heartbeat(1) == 4.0
    assert totals.read().hidden["process.loop_lag_us"] == 300
    assert not any(name.startswith("process.") for name in totals.read().gauges)


def test_a_response_code_counts_in_both_trees_at_once() -> None:
    registry = Registry()
    cluster = ClusterStats(registry, "a:b")
    cluster.code(200)
    cluster.code(204)
    cluster.code(200)
    counted = {name: counter.value for name, counter in registry.counters.items() if counter.value}
    assert counted == {
        "cluster.a_b.upstream_rq_200": 2,
        "cluster.a_b.upstream_rq_204": 1,
        "cluster.a_b.upstream_rq_2xx": 3,
        "cluster.a_b.upstream_rq_completed": 3,
        "cluster.a_b.external.upstream_rq_200": 2,
        "cluster.a_b.external.upstream_rq_204": 1,
        "cluster.a_b.external.upstream_rq_2xx": 3,
        "cluster.a_b.external.upstream_rq_completed": 3,
    }


def test_what_a_reload_removed_is_forgotten_and_the_rest_goes_on() -> None:
    totals = Totals(Registry())
    old = attached(totals, 1)
    for name in ("kept", "kept.too", "gone"):
        ClusterStats(old.registry, name).code(404)
        HostStats(old.registry, name, "10.0.0.1:80").cx_total.value = 1
    HttpStats(old.registry, "front").downstream_rq_time.record(5)
    HttpStats(old.registry, "back").downstream_rq_total.value = 5
    old.registry.publish()
    new = attached(totals, 2)
    for name in ("kept", "kept.too"):
        ClusterStats(new.registry, name)
        HostStats(new.registry, name, "10.0.0.1:80")
    HttpStats(new.registry, "front")
    new.registry.publish()
    totals.tick()
    totals.retire(1)
    totals.forget_removed()
    view = totals.read()
    assert view.counters["cluster.kept.upstream_rq_404"] == 1
    assert view.counters["cluster.kept.too.upstream_rq_404"] == 1
    assert view.histograms["http.front.downstream_rq_time"].cumulative.count == 1
    left = [*view.counters, *view.gauges, *view.histograms, *view.hidden]
    assert [name for name in left if ".gone" in name or "http.back." in name] == []


def test_nothing_is_forgotten_while_no_worker_lives() -> None:
    totals = Totals(Registry())
    only = attached(totals, 1)
    ClusterStats(only.registry, "c").upstream_rq_total.value = 7
    only.registry.publish()
    totals.retire(1)
    totals.forget_removed()
    assert totals.read().counters["cluster.c.upstream_rq_total"] == 7


def test_a_large_configuration_has_room_for_its_names() -> None:
    memory = memoryview(bytearray(size_for(1)))[: size_for(1) - DEFAULT_SIZE]
    registry = Registry(memory)
    ClusterStats(registry, "a-cluster-with-a-rather-long-name.namespace.svc.cluster.local")
    registry.publish()
    reader = BlockReader(memory)
    assert reader.dropped == 0
    assert reader.entries()


# -- another supervisor takes over


def _told(ledger: Ledger, old: Totals, new: Totals) -> int:
    """The old supervisor tells the new one what it has counted; how many messages that takes."""
    messages = ledger.news(old.estate())
    for message in messages:
        new.inherit(Sum.of(message.counters, message.gauges, message.histograms))
    return len(messages)


def test_a_successor_counts_on_from_its_predecessor() -> None:
    own = Registry()
    old, new, ledger = Totals(own), Totals(Registry()), Ledger()
    own.counter("c").value = 100
    own.gauge("server.state").value = 1  # of that process alone
    worker = attached(old, 1)
    worker.registry.counter("c").value = 1
    worker.registry.gauge("g").value = 7
    worker.registry.gauge("hosts", shared=True).value = 3  # which the successor's workers state themselves
    worker.registry.histogram("h", PLAIN).record(5)
    worker.registry.publish()
    _told(ledger, old, new)
    succeeding = attached(new, 1)
    succeeding.registry.counter("c").value = 10
    succeeding.registry.gauge("g").value = 2
    succeeding.registry.gauge("hosts", shared=True).value = 3
    succeeding.registry.histogram("h", PLAIN).record(7)
    succeeding.registry.publish()
    view = new.read()
    assert view.counters == {"c": 111}
    assert view.gauges == {"g": 9, "hosts": 3}
    assert (view.histograms["h"].cumulative.count, view.histograms["h"].cumulative.sum) == (2, 12.0)

    # It drains: what it still counts is told, and nothing else.
    assert _told(ledger, old, new) == 0
    worker.registry.counter("c").value = 5
    worker.registry.publish()
    old.retire(1)
    assert _told(ledger, old, new) == 2  # a counter, and a gauge that is no more
    assert new.read().counters == {"c": 115}
    assert new.read().gauges == {"g": 2, "hosts": 3}
    new.bequeathed()
    assert new.read().counters == {"c": 115}
    assert new.read().histograms["h"].cumulative.count == 2


def test_a_predecessor_that_dies_takes_its_gauges_along() -> None:
    old, new = Totals(Registry()), Totals(Registry())
    worker = attached(old, 1)
    worker.registry.counter("c").value = 5
    worker.registry.gauge("g").value = 7
    worker.registry.publish()
    _told(Ledger(), old, new)
    new.bequeathed()
    assert new.read().counters == {"c": 5}
    assert new.read().gauges == {}


def test_counters_that_were_reset_stay_so() -> None:
    own = Registry()
    old, new = Totals(own), Totals(Registry())
    own.counter("c").value = 100
    old.reset_counters()
    own.counter("c").value = 103
    _told(Ledger(), old, new)
    assert new.read().counters == {"c": 3}


def test_histograms_of_another_scale_are_left_out() -> None:
    assert Sum.of({}, {}, {"h": (PLAIN, 3, [1, 2])}).histograms == {}


def test_many_numbers_are_told_in_parts() -> None:
    own = Registry()
    for number in range(5000):
        own.counter(f"c{number}").value = 1
    old, new = Totals(own), Totals(Registry())
    assert _told(Ledger(), old, new) == 3
    assert len(new.read().counters) == 5000
