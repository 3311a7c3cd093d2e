"""The home page: complete without JavaScript, nothing from elsewhere, safe."""

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

from proxyd.admin.endpoints import ENDPOINTS
from tests.admin.conftest import Ask, FakeContext

VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Elements in order; refuses tags that do not match."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_endpoint_is_a_link_or_a_form(ask: Ask) -> None:
    reply = ask("/")
    assert reply.status == 200
    assert reply.content_type == "text/html; charset=UTF-8"
    page = Page(reply.body.decode())
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    forms = {(a["method"], a["action"]) for tag, a in page.elements if tag == "form"}
    for endpoint in ENDPOINTS:
        if endpoint.changes:
            assert ("post", endpoint.path) in forms
            assert endpoint.path not in links
        elif endpoint.path != "/":
            assert endpoint.path in links
    assert {a.get("formaction") for tag, a in page.elements if tag == "button"} >= {
        "/drain_listeners?graceful"
    }


def test_it_shows_traffic_and_workers_without_script(ask: Ask, context: FakeContext) -> None:
    context.registry.counter("http.in.downstream_rq_total").value = 1234
    context.registry.counter("http.admin.downstream_rq_total").value = 1
    page = ask("/").body.decode()
    assert "<dd id='requests'>1234</dd>" in page
    assert ">4242</td>" in page


def test_everything_is_escaped(ask: Ask, context: FakeContext) -> None:
    context.worker_views = [dataclasses.replace(context.worker_views[0], state="<img src=x>")]
    context.state = "<b>"
    page = ask("/").body.decode()
    assert "<img" not in page
    assert "<b>" not in page


def test_only_the_pages_own_script_may_run(ask: Ask) -> None:
    reply = ask("/")
    policy = dict(reply.headers)["content-security-policy"]
    source = reply.body.decode()
    [script] = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    page = Page(source)
    assert not any("src" in attributes or "style" in attributes for _, attributes in page.elements)
    assert "//" not in re.sub(r"//[^\n]*", "", "".join(re.findall(r'https?:[^\s"\']*', source)))
    # The expression that the script sends is one that /stats accepts.
    [pattern] = re.findall(r'encodeURIComponent\("(.*)"\)', script)
    assert ask("/stats?format=json&filter=" + pattern.replace("\\\\", "\\").replace("+", "%2B")).status == 200
