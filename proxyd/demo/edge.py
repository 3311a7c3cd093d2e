"""Demonstration 2: an edge proxy in front of two applications, which learns HTTPS without a restart."""

import itertools
from functools import partial
from typing import Final

from proxyd.demo.application import APPLICATIONS
from proxyd.demo.certificates import Authority
from proxyd.demo.client import Answer, Browser, Http2Browser, is_listening, numbers
from proxyd.demo.play import Play, expect, until
from proxyd.demo.stage import Stage

# Ports as the files in conf/edge name them.
HTTP: Final = 10080
HTTPS: Final = 10443
ADMIN: Final = 9901
_APPLICATION_PORTS: Final = (8080, 8090)


def lay(stage: Stage) -> None:
    """Files, certificates, applications and the proxy, ready to be looked at."""
    stage.lay("edge")
    authority = Authority("Demo CA")
    authority.write(stage.certificates)
    authority.sign(stage.certificates, "edge", "edge.example.com", "localhost", "127.0.0.1")
    for page, port in zip(APPLICATIONS, _APPLICATION_PORTS, strict=True):
        stage.application(page, port)
    stage.start(edge=ADMIN)


def play(stage: Stage, play: Play) -> None:
    """The whole story; DemoError where a step does not show what it should."""
    lay(stage)
    play.numbers = partial(
        numbers,
        stage.admin(ADMIN),
        http="http.http.downstream_rq_2xx",
        https="http.https.downstream_rq_2xx",
    )
    story = _Story(stage, play)
    story.round_robin()
    story.https_added()


class _Story:
    def __init__(self, stage: Stage, play: Play) -> None:
        self._stage: Final = stage
        self._play: Final = play
        self._ca: Final = stage.certificates / "ca.crt"
        self._admin: Final = stage.admin(ADMIN)
        self._http: Final = f"http://localhost:{stage.port(HTTP)}/"
        self._https: Final = f"https://localhost:{stage.port(HTTPS)}/"

    def round_robin(self) -> None:
        with self._play.step(
            "Two applications in turn",
            "The edge proxy has one listener, plain HTTP, and one cluster with the two applications.",
        ):
            with Browser(self._stage.port(HTTP)) as browser:
                self._in_turn([browser.get() for _ in range(6)], tls="")
            self._play.seen("app1 and app2 answer in turn")
            expect(
                "whether anybody listens at the port of HTTPS", is_listening(self._stage.port(HTTPS)), False
            )
            self._play.seen("nobody listens at the port of HTTPS")
            names = self._listeners()
            expect("the listeners", names, {"http"})
            self._play.look(
                (self._http, "reload it"),
                (f"http://127.0.0.1:{self._admin.port}/listeners", "the listeners"),
            )

    def https_added(self) -> None:
        with self._play.step(
            "HTTPS without a restart",
            f"An HTTPS listener with a certificate is added to {self._stage.directory / 'lds.yaml'},\n"
            "and the file is saved. The proxy takes it over; neither it nor the applications start again.",
        ):
            started = self._admin.json("/server_info")["uptime_all_epochs"]
            with Browser(self._stage.port(HTTP)) as kept:
                kept.get()
                self._stage.save("lds-https.yaml", "lds.yaml")
                until("the listener https in /listeners", lambda: self._listeners() == {"http", "https"})
                until("somebody at the port of HTTPS", lambda: is_listening(self._stage.port(HTTPS)))
                with Http2Browser(self._stage.port(HTTPS), self._ca) as browser:
                    self._in_turn([browser.get() for _ in range(6)], tls="TLSv1.3", protocol="HTTP/2")
                self._play.seen("https:// answers with TLS 1.3 and HTTP/2, app1 and app2 in turn")
                with Browser(self._stage.port(HTTPS), self._ca) as older:
                    self._in_turn([older.get() for _ in range(2)], tls="TLSv1.3")
                spoken = self._admin.counter("cluster.applications.upstream_cx_http1_total")
                expect("whether the applications are spoken to in HTTP/1.1", spoken > 0, True)
                self._play.seen("the applications still speak HTTP/1.1")
                self._in_turn([kept.get() for _ in range(6)], tls="")
            self._play.seen("http:// goes on, on the connection that was open all the time")
            added = self._admin.counter("listener_manager.listener_added")
            expect("listeners added since the start", added, 2)
            now = self._admin.json("/server_info")["uptime_all_epochs"]
            expect("the proxy runs on", int(now.rstrip("s")) >= int(started.rstrip("s")), True)
            self._play.seen("the proxy has not been restarted: listener_manager.listener_added is 2")
            self._play.look(
                (self._https, f"reload it; the browser warns: it does not know {self._ca}"),
                (f"curl --http2 --cacert {self._ca} -v {self._https}", "TLS 1.3, HTTP/2, and who answers"),
                (self._http, "as before"),
            )

    def _in_turn(self, answers: list[Answer], tls: str, protocol: str = "HTTP/1.1") -> None:
        expect("answers other than 200", [x.status for x in answers if x.status != 200], [])
        expect("the versions of TLS", {x.tls for x in answers}, {tls})
        expect("the versions of HTTP", {x.protocol for x in answers}, {protocol})
        names = [x.application for x in answers]
        expect("those who answered", set(names), {page.name for page in APPLICATIONS})
        expect(
            "a neighbour that answered twice",
            [a for a, b in itertools.pairwise(names) if a == b],
            [],
        )

    def _listeners(self) -> set[str]:
        return {x["name"] for x in self._admin.json("/listeners?format=json")["listener_statuses"]}
