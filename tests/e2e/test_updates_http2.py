"""Files of resources change under clients of HTTP/2, whose connections carry many requests at a time."""

from pathlib import Path
from typing import Any

import pytest

from tests import windows
from tests.e2e.conftest import StartProxyd
from tests.e2e.http2_load import Http2Load
from tests.e2e.origin import Origin
from tests.e2e.resource_files import (
    ResourceFile,
    answers,
    bootstrap,
    cluster,
    forwarding,
    listener,
    response,
    served_secret,
    source,
)
from tests.net.certificates import Authority
from tests.net.tls_house import DOWNSTREAM, client, tls_socket

UPDATES = 16 if windows.HERE else 40


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_updates_under_streams_fail_no_request(
    start: StartProxyd, origin: Origin, tmp_path: Path, secure: bool
) -> None:
    authority = Authority()

    def http(**manager: Any) -> dict[str, Any]:
        made = listener(rds=rds, **manager)
        if secure:
            secret = {"name": "served", "sds_config": source(sds.path)}
            common = {"tls_certificate_sds_secret_configs": [secret], "alpn_protocols": ["h2"]}
            socket = tls_socket(DOWNSTREAM, {"common_tls_context": common})
            made["filter_chains"][0]["transport_socket"] = socket
        return made

    rds_file = ResourceFile(tmp_path / "rds.json", forwarding(0))
    rds = {"route_config_name": "routes", "config_source": source(rds_file.path)}
    sds = ResourceFile(tmp_path / "sds.json", served_secret(authority))
    lds = ResourceFile(tmp_path / "lds.json", http())
    cds = ResourceFile(tmp_path / "cds.json", cluster(origin.address))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path), "--workers", "2")

    def change(number: int) -> tuple[ResourceFile, str, str]:
        """Good ones and bad ones by turns: which file becomes what, and which words tell of it."""
        changed = http(server_name=f"s{number}")  # its connections have to go
        key = {"inline_string": authority.key}
        kinds = [
            (lds, "broken: [", "lds: update cannot be read"),
            (rds_file, response(forwarding(number)), "rds: routes routes updated"),
            (rds_file, response(answers(404, "other")), "rds routes: update rejected"),
            (lds, response(changed), "add/update listener 'http'"),
            (lds, response(changed, listener("bad", stat_prefix="")), "lds: update rejected"),
            (
                cds,
                response(cluster(origin.address, connect_timeout=f"{number + 1}s")),
                "cds: added/updated 1",
            ),
        ]
        if secure:
            kinds.insert(
                4, (sds, response(served_secret(authority, private_key=key)), "sds served: update rejected")
            )
            kinds.insert(4, (sds, response(served_secret(authority)), "sds: secret served updated"))
        return kinds[number % len(kinds)]

    tls = None
    if secure:
        tls = client()
        tls.set_alpn_protocols(["h2"])
    with Http2Load(proxyd.port(), path=f"/slow?{windows.patience(5):g}", tls=tls) as load:
        load.wait_for(50)
        for number in range(UPDATES):
            file, text, words = change(number)
            file.move(text)
            proxyd.wait_for_log(words)
            load.wait_for(5)
        load.wait_for(50)
    assert load.failures == []
    # A listener that has changed sends away each connection: first to say so, then with the last stream.
    changes = sum(change(number)[2].startswith("add/update") for number in range(UPDATES))
    assert load.goaways >= changes
    answered = load.answered
    proxyd.until(
        lambda: proxyd.counter("http.ingress.downstream_rq_2xx") == answered, f"{answered} requests counted"
    )
    assert proxyd.counter("http.ingress.downstream_cx_http2_total") > 0
    assert proxyd.counter("http.ingress.downstream_cx_http1_total") == 0
