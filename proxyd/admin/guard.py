"""Who may ask for what: paths the operator allows, and requests that a browser was tricked into.

The admin API has no passwords; whoever reaches its address may use it. A page from elsewhere, opened in a
browser that reaches it, is kept out in two ways. The Host header must be an IP address, ``localhost`` or a
name the operator has configured, so that a foreign name pointed at this address (DNS rebinding) leads
nowhere. And what changes something is refused if the browser says that another site sent it.
"""

import functools
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from proxyd.admin.messages import AdminReply, AdminRequest, text
from proxyd.snapshot.regex import Regex

_OWN_PAGES: Final = ("same-origin", "none")  # values of Sec-Fetch-Site: our own page, or typed in by the user


def refuse_path(path: str, allow_paths: Sequence[object]) -> AdminReply | None:
    """A 403 if there are allow_paths (StringMatchers as proto JSON) and none matches the path."""
    if not allow_paths or any(_matches(matcher, path) for matcher in allow_paths):
        return None
    return text(f"request to path {path} not allowed", 403)


def refuse_host(request: AdminRequest, allowed: Sequence[str]) -> AdminReply | None:
    """A 403 if the request is for a host name that is not ours. Without Host it is HTTP/1.0, no browser."""
    host = request.header("host")
    if host is None:
        return None
    name = _hostname(host)
    if name == "localhost" or _is_address(name) or name in (other.lower() for other in allowed):
        return None
    return text(
        f"request for host {host} not allowed: ask by IP address, localhost or a configured name\n", 403
    )


def refuse_cross_site(request: AdminRequest) -> AdminReply | None:
    """A 403 if a browser sends this on behalf of another site. Tools such as curl send neither header."""
    site = request.header("sec-fetch-site")
    origin = request.header("origin")
    if site is not None and site not in _OWN_PAGES:
        return text("request from another site not allowed\n", 403)
    if (
        origin is not None
        and (urlsplit(origin).netloc.lower() or None) != (request.header("host") or "").lower()
    ):
        return text(f"request from origin {origin} not allowed\n", 403)
    return None


def _hostname(host: str) -> str:
    """The name in a Host header: no port, no brackets, lower case, no dot at the end."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower().rstrip(".") if ":" in host else host.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _matches(matcher: object, path: str) -> bool:
    """One StringMatcher. What is not understood matches nothing: it must not open a path."""
    if not isinstance(matcher, Mapping):
        return False
    ignore_case = bool(matcher.get("ignore_case"))
    if ignore_case:
        path = path.lower()
    for kind, test in (
        ("exact", path.__eq__),
        ("prefix", path.startswith),
        ("suffix", path.endswith),
        ("contains", path.__contains__),
    ):
        value = matcher.get(kind)
        if isinstance(value, str):
            return bool(test(value.lower() if ignore_case else value))
    expression = matcher.get("safe_regex")
    pattern = expression.get("regex") if isinstance(expression, Mapping) else None
    return isinstance(pattern, str) and _regex(pattern).matches(path.encode())


@functools.lru_cache(maxsize=64)
def _regex(pattern: str) -> Regex:
    return Regex(pattern)
