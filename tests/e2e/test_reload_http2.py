"""Reloads under clients of HTTP/2: they are told to leave, and nothing that they have asked for is lost."""

import threading

from tests.e2e.conftest import HOLDING, StartProxyd, config
from tests.e2e.http2_load import Http2Load
from tests.e2e.http2_streams import Streams
from tests.e2e.origin import Origin
from tests.windows import patience

EVERY_STREAM = (1 << 31) - 1


def test_reloads_under_streams_fail_no_request(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    with Http2Load(proxyd.port(), connections=4, path=f"/slow?{patience(5):g}") as load:
        for generation in range(2, 4):
            load.wait_for(50)
            assert f"generation {generation}" in proxyd.command("reload").stdout
        load.wait_for(50)
    assert load.failures == []
    assert load.goaways >= 4 * 2  # each connection hears of each reload
    answered = load.answered
    proxyd.until(
        lambda: proxyd.counter("http.ingress.downstream_rq_2xx") == answered, f"{answered} requests counted"
    )


def test_a_stream_under_way_outlives_two_goaways(start: StartProxyd, origin: Origin) -> None:
    """What is asked for between the two is answered as well."""
    drain = f"{patience(0.5):g}s"
    proxyd = start(config(origin.address, drain_timeout=drain, routes=HOLDING), "--workers", "1")
    with Streams(proxyd.port()) as clients:
        kept = clients.connect()
        held = kept.ask(["/hold"])
        assert origin.holding.wait(30)
        reload = threading.Thread(target=proxyd.command, args=("reload",))  # whose end comes after the GOAWAY
        reload.start()
        clients.wait_for(lambda: bool(kept.goaways), "a first GOAWAY")
        more = kept.ask(["/name"])
        reload.join()
        clients.wait_until_over(more)
        clients.wait_for(lambda: len(kept.goaways) == 2, "a second GOAWAY")
        assert not held[0].over
        origin.release()
        clients.wait_until_over(held)
        clients.wait_for(lambda: kept.lost, "the end of the connection")
        assert held[0].well
        assert more[0].well
        assert kept.goaways == [(EVERY_STREAM, 0), (3, 0)]
    proxyd.until(lambda: len(proxyd.status()["workers"]) == 1, "the old worker gone")
