"""Answers one request to the admin API. No socket: whoever serves HTTP calls handle()."""

import logging
from collections.abc import Mapping
from typing import Final

from proxyd.admin.context import AdminContext
from proxyd.admin.endpoint import BadParameterError, Endpoint, help_text
from proxyd.admin.endpoints import ENDPOINTS
from proxyd.admin.guard import refuse_cross_site, refuse_host, refuse_path
from proxyd.admin.messages import AdminReply, AdminRequest, text

logger = logging.getLogger(__name__)

_BY_PATH: Final[dict[str, Endpoint]] = {endpoint.path: endpoint for endpoint in ENDPOINTS}


async def handle(context: AdminContext, request: AdminRequest) -> AdminReply:
    """The reply to a request; whatever goes wrong in a handler becomes a 500 and a line in the log.

    ``request.headers`` must have Host, Origin, Sec-Fetch-Site and Content-Type if the client sent them: see
    guard. To HEAD the reply is what GET would get; who serves HTTP leaves the body out.
    """
    try:
        reply = await _answer(context, request)
    except BadParameterError as error:
        reply = text(str(error), 400)
    except Exception:
        logger.exception("admin request %s %s failed", request.method, request.path)
        reply = text("internal error; see the log\n", 500)
    return reply


async def _answer(context: AdminContext, request: AdminRequest) -> AdminReply:
    refused = refuse_host(request, context.allowed_hosts())
    if refused is not None:
        return refused
    refused = refuse_path(request.path, _allow_paths(context.bootstrap()))
    if refused is not None:
        return refused
    endpoint = _BY_PATH.get(request.path)
    if endpoint is None:
        return text("invalid path. " + help_text(ENDPOINTS), 404)
    if endpoint.changes:
        if request.method != "POST":
            return text(f"Method {request.method} not allowed, POST required.", 405)
        refused = refuse_cross_site(request)
        if refused is not None:
            return refused
    try:
        request.parameters()
        request.form()
    except ValueError as error:
        raise BadParameterError(f"{error}\n") from None
    return await endpoint.handler(context, request)


def _allow_paths(bootstrap: Mapping[str, object]) -> list[object]:
    admin = bootstrap.get("admin")
    paths = admin.get("allow_paths") if isinstance(admin, Mapping) else None
    return list(paths) if isinstance(paths, (list, tuple)) else []
