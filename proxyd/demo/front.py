"""Demonstration 1: a front proxy with two services behind sidecars, mutual TLS, files that change."""

from functools import partial
from pathlib import Path
from typing import Final

from proxyd.demo.application import CAT, DOG
from proxyd.demo.certificates import Authority
from proxyd.demo.client import Admin, Answer, Browser, numbers
from proxyd.demo.play import Play, expect, until
from proxyd.demo.stage import Stage

# Ports as the files in conf/front-proxy name them.
HTTPS: Final = 8443
ADMINS: Final = {"front": 9901, "dog": 9902, "cat": 9903}
APPLICATIONS: Final = {8001: DOG, 8002: CAT}
_STEADY: Final = 20  # requests without an error that say all is well


def lay(stage: Stage) -> None:
    """Files, certificates, applications and proxies, ready to be looked at."""
    stage.lay("front-proxy")
    stage.move("dog/lds.yaml", "dog/lds-original.yaml")
    write_certificates(stage.certificates)
    for port, page in APPLICATIONS.items():
        stage.application(page, port)
    stage.start(**ADMINS)


def write_certificates(directory: Path) -> None:
    """Those that the files in conf/front-proxy name."""
    trusted = Authority("Demo CA")
    trusted.write(directory)
    trusted.sign(directory, "front", "front-proxy.example.com", "localhost", "127.0.0.1")
    for name in ("dog", "cat"):
        trusted.sign(directory, name, f"{name}.example.com")
    Authority("Nobody's CA").sign(directory, "impostor", "dog.example.com")


def play(stage: Stage, play: Play) -> None:
    """The whole story; DemoError where a step does not show what it should."""
    lay(stage)
    play.numbers = partial(
        numbers,
        stage.admin(ADMINS["front"]),
        dog="cluster.dog.upstream_rq_200",
        cat="cluster.cat.upstream_rq_200",
        failed="http.front.downstream_rq_5xx",
    )
    story = _Story(stage, play)
    for step in (
        story.page,
        story.admin,
        story.invalid_certificate,
        story.valid_again,
        story.other_name_demanded,
        story.entered_again,
    ):
        step()


class _Story:
    def __init__(self, stage: Stage, play: Play) -> None:
        self._stage: Final = stage
        self._play: Final = play
        self._ca: Final = stage.certificates / "ca.crt"
        self._front: Final = stage.admin(ADMINS["front"])
        self._dog: Final = stage.admin(ADMINS["dog"])
        self._url: Final = f"https://localhost:{stage.port(HTTPS)}/"
        self._access_log: Final = stage.directory / "front" / "access.log"
        self._curl: Final = f"curl --cacert {self._ca} {self._url}"

    def page(self) -> None:
        with self._play.step(
            "A dog or a cat",
            "The front proxy serves HTTPS and sends each request to the dog's or the cat's sidecar. All of\n"
            "them show each other certificates; each sidecar hands on to its application in plain HTTP.",
        ):
            seen: dict[str, Answer] = {}

            def both() -> bool:
                answer = self._ask()
                expect("the page's status", answer.status, 200)
                seen[answer.application] = answer
                return seen.keys() == {"dog", "cat"}

            until("the page of the dog and the page of the cat", both)
            for name, answer in sorted(seen.items()):
                expect(f"a picture in the {name}'s page", f'aria-label="a {name}"' in answer.body, True)
                expect(f"TLS between browser and front, at the {name}'s page", answer.tls, "TLSv1.3")
                told = "DNS=front-proxy.example.com" in answer.body
                expect(f"the front's certificate as the {name}'s sidecar tells it", told, True)
            self._play.seen("the page shows sometimes the dog, sometimes the cat, over TLS 1.3")
            self._play.seen("the sidecars know the front proxy by its certificate")
            self._play.look(
                (self._url, f"reload it; the browser warns: it does not know {self._ca}"),
                (f"{self._curl} | grep title", "again and again"),
            )

    def admin(self) -> None:
        with self._play.step(
            "The admin pages", "Each proxy tells its certificates, its clusters, and what it has counted."
        ):
            names = [
                entry for page in self._front.json("/certs")["certificates"] for entry in page["cert_chain"]
            ]
            expired = [entry["path"] for entry in names if int(entry["days_until_expiration"]) < 1]
            expect("certificates that expire within a day", expired, [])
            expect("the front's certificate in /certs", "certs/front.crt" in {x["path"] for x in names}, True)
            days = min(int(entry["days_until_expiration"]) for entry in names)
            self._play.seen(f"/certs: {len(names)} certificates, the first expires in {days} days")
            clusters = self._front.read("/clusters")
            for name in ("dog", "cat"):
                expect(f"{name} in /clusters", f"\n{name}::" in f"\n{clusters}", True)
                self._counted("the front's", self._front, f"cluster.{name}.upstream_rq_completed")
            self._play.seen("/clusters: dog and cat")
            self._play.look(
                *(
                    (f"http://127.0.0.1:{self._stage.port(port)}/", f"the admin pages of {name}")
                    for name, port in ADMINS.items()
                ),
                (
                    f"http://127.0.0.1:{self._front.port}/certs",
                    "/clusters, /stats?filter=upstream_rq_completed",
                ),
            )

    def invalid_certificate(self) -> None:
        with self._play.step(
            "An invalid certificate",
            "dog/lds-invalid-certificate.yaml is moved over dog/lds.yaml: the dog's sidecar now shows a\n"
            "certificate for dog.example.com that an unknown CA has signed. The front proxy refuses it.",
        ):
            self._stage.move("dog/lds-invalid-certificate.yaml", "dog/lds.yaml")
            self._fails("CERTIFICATE_VERIFY_FAILED")
            self._counted("the front's", self._front, "cluster.dog.ssl.fail_verify_error")
            self._look_at_failure()

    def valid_again(self) -> None:
        with self._play.step("And back", "The old listener file is moved back: the dog returns."):
            self._back()

    def other_name_demanded(self) -> None:
        with self._play.step(
            "A client certificate for foo",
            "dog/lds-san-foo.yaml is moved over dog/lds.yaml: the dog's sidecar now demands a client whose\n"
            "certificate is for foo, and the front proxy's is not. The same story in the other direction.",
        ):
            self._stage.move("dog/lds-san-foo.yaml", "dog/lds.yaml")
            self._fails("CERTIFICATE_UNKNOWN")
            self._counted("the dog's sidecar's", self._dog, "ssl.fail_verify_san")
            self._look_at_failure()

    def entered_again(self) -> None:
        with self._play.step("And back", "Once more the old listener file: all is well again."):
            self._back()

    # -- what the steps have in common

    def _ask(self) -> Answer:
        with Browser(self._stage.port(HTTPS), self._ca) as browser:
            return browser.get()

    def _fails(self, reason: str) -> None:
        """Requests to the dog fail for that reason, those to the cat do not, and the operator finds it."""
        seen: dict[str, Answer] = {}

        def both() -> bool:
            answer = self._ask()
            seen[answer.application or f"status {answer.status}"] = answer
            return "cat" in seen and "status 503" in seen

        until(f"an answer with status 503, and the cat ({reason})", both)
        body = seen["status 503"].body.strip()
        expect(f"{reason} in the body of {body!r}", reason in body, True)
        self._play.seen("the dog's requests are answered with 503, the cat answers as before")
        self._play.seen(body)

        def logged() -> bool:
            lines = self._access_log.read_text("utf-8").splitlines()
            return any("flags=UF cluster=dog" in line and reason in line for line in lines)

        until(f"the flag UF and {reason} in {self._access_log}", logged)
        self._play.seen("the front's access log has the response flag UF and the reason")

    def _look_at_failure(self) -> None:
        self._play.look(
            (self._curl, "again and again"),
            (str(self._access_log), "the access log"),
            (f'curl "http://127.0.0.1:{self._front.port}/stats?filter=ssl"', "the front's counters of TLS"),
            (f'curl "http://127.0.0.1:{self._dog.port}/stats?filter=ssl"', "those of the dog's sidecar"),
        )

    def _counted(self, whose: str, admin: Admin, name: str) -> None:
        until(f"{whose} {name} above 0", lambda: admin.counter(name) > 0)
        self._play.seen(f"{whose} statistics count it: {name} is {admin.counter(name)}")

    def _back(self) -> None:
        self._stage.move("dog/lds-original.yaml", "dog/lds.yaml")
        until("the dog", lambda: self._ask().application == "dog")
        answers = [self._ask() for _ in range(_STEADY)]
        expect("answers other than 200", [answer.status for answer in answers if answer.status != 200], [])
        self._play.seen(f"the dog answers again, and {_STEADY} requests in a row do not fail")
        self._play.look((self._url, "dog and cat"))
