"""Words that many dialogues use."""

from tests.net.playbook import Client, Origin, Stage

GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEARD_OK = ["HTTP/1.1 200 OK", "content-length: 2", "x-envoy-upstream-service-time: N", "", "ok"]


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def post(path: str, body: bytes) -> bytes:
    return request("POST", path, f"content-length: {len(body)}", body=body)


def response(*fields: str, status: str = "200 OK", body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode() + body


def ask(play: Stage, data: bytes = GET) -> tuple[Client, Origin]:
    """A client's request on its way to a host that has not answered yet."""
    client = play.connect()
    client.say(data)
    origin = play.origin()
    origin.heard()
    return client, origin


def starts(client: Client) -> list[str]:
    """First lines and bodies of the responses heard."""
    lines = client.hears()
    return [line for line in lines if line.startswith("HTTP/1.") or (line and ": " not in line)]
