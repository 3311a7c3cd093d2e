"""The applications behind the proxies: a page with a picture each, over plain HTTP."""

import html
import importlib.resources
import string
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple, Self

_HEADER: Final = "x-application"  # of each answer: who gave it
# What an application can tell of the way a request took, and how the page says it.
_TOLD: Final = (
    ("x-forwarded-client-cert", "The caller's certificate, as the sidecar told it"),
    ("x-forwarded-proto", "The browser spoke"),
)


class Page(NamedTuple):
    """How an application presents itself."""

    name: str
    title: str
    picture: str  # a file beside page.html
    background: str


DOG: Final = Page("dog", "A dog", "dog.svg", "#fff3dc")
CAT: Final = Page("cat", "A cat", "cat.svg", "#e3f4f2")
APPLICATIONS: Final = (
    Page("app1", "Application 1", "application.svg", "#c7d2fe"),
    Page("app2", "Application 2", "application.svg", "#fecdd3"),
)


class Application(ThreadingHTTPServer):
    """Serves ``page`` on 127.0.0.1 until the ``with`` block ends."""

    daemon_threads = True

    def __init__(self, page: Page, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.page: Final = page
        self._thread: Final = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def wait(self) -> None:
        """Serve for as long as the process lives."""
        self._thread.join()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60  # seconds an idle connection is kept
    server: Application

    def do_GET(self) -> None:
        page = self.server.page
        facts = [
            f"<p>{label}: <code>{html.escape(self.headers[name])}</code></p>"
            for name, label in _TOLD
            if name in self.headers
        ]
        text = string.Template(_read("page.html")).substitute(
            name=page.name,
            title=page.title,
            picture=_read(page.picture),
            background=page.background,
            port=self.server.server_port,
            facts="\n".join(facts),
        )
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.send_header(_HEADER, page.name)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """The proxies log; an application that did too would only disturb the story."""


def _read(name: str) -> str:
    return (importlib.resources.files(__package__ or "") / "pages" / name).read_text("utf-8")
