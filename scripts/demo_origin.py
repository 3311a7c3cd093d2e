"""One of the demonstration's two origin servers: a small HTTP/1.1 server that says who answered.

    /               a page with a drawing of the animal that this server is named after
    /api/...        JSON: what arrived here (method, path, headers, size of the body)
    /stream         one line at a time: ?count=10&interval=0.3
    /slow           answers after a while: ?seconds=2

It prints the port it listens on as its first line, and ends when its standard input does, so that it never
outlives the script that started it.
"""

import argparse
import html
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# Drawn by hand in a box of 200 x 200: ears, then head, eyes, nose, mouth, whiskers.
_EARS = {
    "cat": '<path d="M48 92 L40 28 L92 58 Z M152 92 L160 28 L108 58 Z"/>',
    "dog": '<path d="M58 62 Q16 64 26 138 Q52 146 64 104 Z M142 62 Q184 64 174 138 Q148 146 136 104 Z"/>',
}
_FACE = """
<circle cx="100" cy="112" r="62" fill="{light}"/>
<circle cx="78" cy="100" r="7" fill="#222"/><circle cx="122" cy="100" r="7" fill="#222"/>
<path d="M90 122 L110 122 L100 134 Z" fill="#222"/>
<path d="M100 134 Q88 152 76 142 M100 134 Q112 152 124 142" fill="none" stroke="#222" stroke-width="4"/>
"""
_WHISKERS = '<path d="M66 126 L28 118 M66 134 L28 138 M134 126 L172 118 M134 134 L172 138" stroke="#222"/>'
_COLOURS = {"cat": ("#0f766e", "#99f6e4"), "dog": ("#b45309", "#fde68a")}

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width">
<style>
 body {{ margin: 0; min-height: 100vh; display: grid; place-content: center; justify-items: center;
        background: {light}; color: #1c1917; font: 1.1rem/1.5 system-ui, sans-serif; text-align: center }}
 svg {{ width: min(50vw, 16rem) }} code {{ background: #fff9; padding: .1em .4em; border-radius: .3em }}
 a {{ color: inherit }}
</style>
<svg viewBox="0 0 200 200" fill="{dark}">{drawing}</svg>
<h1>The {name} answered</h1>
<p>Origin on port {port}, process {pid}. Reload, and the other one answers.</p>
<p>Request <code>{request_id}</code></p>
<p><a href="/api/echo">what arrived here</a> · <a href="/stream">a stream</a> ·
   <a href="/slow?seconds=2">too slow</a> · <a href="/hello">direct response</a> ·
   <a href="/old">redirect</a> · <a href="/nowhere">no route</a></p>
</html>
"""


class Origin(ThreadingHTTPServer):
    """An HTTP server with a name; port 0 lets the system choose one."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, name: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.name = name
        self.port: int = self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is everyday business here, not worth a traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: Origin
    protocol_version = "HTTP/1.1"
    server_version = "demo-origin"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer by path; the methods below are bound to this one."""
        self.received = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = urlsplit(self.path).path
        if path.startswith("/api/"):
            self._answer(200, "application/json", self._echo())
        elif path == "/stream":
            self._stream(int(self._parameter("count", "10")), float(self._parameter("interval", "0.3")))
        elif path == "/slow":
            time.sleep(min(float(self._parameter("seconds", "2")), 60.0))
            self._answer(200, "text/plain", f"the {self.server.name} took its time\n")
        elif path == "/":
            self._answer(200, "text/html; charset=utf-8", self._page())
        else:
            self._answer(404, "text/plain", f"the {self.server.name} has no {path}\n")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - named by http.server

    def log_message(self, *_: object) -> None:
        """Silent: proxyd writes the access log."""

    def _parameter(self, name: str, default: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [default])[0]

    def _answer(self, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-origin", self.server.name)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, count: int, interval: float) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("x-origin", self.server.name)
        self.end_headers()
        for number in range(1, min(count, 1000) + 1):
            line = f"{number} of {count}, from the {self.server.name}\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
            time.sleep(min(interval, 10.0))
        self.wfile.write(b"0\r\n\r\n")

    def _echo(self) -> str:
        arrived = {
            "origin": self.server.name,
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body_bytes": len(self.received),
        }
        return json.dumps(arrived, indent=2) + "\n"

    def _page(self) -> str:
        name = self.server.name
        dark, light = _COLOURS[name]
        drawing = _EARS[name] + _FACE.format(light=light) + (_WHISKERS if name == "cat" else "")
        return _PAGE.format(
            name=name,
            port=self.server.port,
            pid=os.getpid(),
            dark=dark,
            light=light,
            drawing=drawing,
            request_id=html.escape(self.headers.get("x-request-id", "without an id")),
        )


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(_COLOURS))
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    # Ctrl-C in a terminal reaches every process of the demonstration; this one's starter ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    origin = Origin(options.name, options.port)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    print(origin.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
