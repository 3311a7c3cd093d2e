"""The server as a whole: state, version, memory, workers, runtime, logging, and what can be done to it."""

from collections.abc import Mapping

from proxyd.admin.context import LIVE, AdminContext
from proxyd.admin.endpoint import BadParameterError
from proxyd.admin.messages import AdminReply, AdminRequest, json_document, ok, text

LEVELS = ("trace", "debug", "info", "warning", "error", "critical", "off")

# Envoy's word for a server that does not hand over to a successor by itself: here the supervisor reloads.
_HOT_RESTART_VERSION = "disabled"


async def ready(context: AdminContext, _request: AdminRequest) -> AdminReply:
    """The state in one word, for health checks: 200 if live, else 503."""
    state = context.server().state
    return text(state + "\n", 200 if state == LIVE else 503)


async def server_info(context: AdminContext, _request: AdminRequest) -> AdminReply:
    server = context.server()
    return json_document(
        {
            "version": server.version,
            "state": server.state,
            "uptime_current_epoch": f"{int(server.uptime_current_epoch)}s",
            "uptime_all_epochs": f"{int(server.uptime_all_epochs)}s",
            "hot_restart_version": _HOT_RESTART_VERSION,
            "command_line_options": dict(server.command_line_options),
            "node": dict(server.node),
        }
    )


async def hot_restart_version(_context: AdminContext, _request: AdminRequest) -> AdminReply:
    return text(_HOT_RESTART_VERSION)


async def init_dump(context: AdminContext, _request: AdminRequest) -> AdminReply:
    """What the server still waits for: workers that have not said that they are ready."""
    starting = [f"worker {worker.slot}" for worker in context.workers() if worker.state == "starting"]
    if not starting:
        return json_document({})
    return json_document({"unready_targets_dumps": [{"name": "workers", "target_names": starting}]})


async def certs(context: AdminContext, _request: AdminRequest) -> AdminReply:
    """Certificates in use, and how long they are good."""
    return json_document({"certificates": list(context.certificates())})


async def memory(context: AdminContext, _request: AdminRequest) -> AdminReply:
    view = context.memory()
    numbers = {
        "allocated": view.allocated,
        "heap_size": view.heap_size,
        "pageheap_unmapped": 0,
        "pageheap_free": max(view.heap_size - view.allocated, 0),
        "total_thread_cache": 0,
        "total_physical_bytes": view.physical,
    }
    return json_document({name: str(value) for name, value in numbers.items()})


async def logging(context: AdminContext, request: AdminRequest) -> AdminReply:
    """Show the loggers' levels, after changing those that are named."""
    parameters = request.parameters()
    present = context.log_levels()
    try:
        wanted = _wanted_levels(parameters, list(present))
    except ValueError as error:
        levels = f"levels: {' '.join(LEVELS)} \n"
        usage = "".join(
            f"usage: /logging?{form}\n"
            for form in (
                "<name>=<level> (change single level)",
                "paths=name1:level1,name2:level2,... (change multiple levels)",
                "level=<level> (change all levels)",
            )
        )
        loggers = _loggers(present)
        raise BadParameterError(f"error: {error}\n\n{usage}{levels}{loggers}") from None
    if wanted:
        await context.set_log_levels(wanted)
    return text(_loggers({**present, **wanted}))


async def runtime(context: AdminContext, _request: AdminRequest) -> AdminReply:
    layers = context.runtime_layers()
    entries: dict[str, object] = {}
    for key in sorted({key for layer in layers for key in layer.values}):
        values = [layer.values.get(key, "") for layer in layers]
        final = next(layer.values[key] for layer in reversed(layers) if key in layer.values)
        entries[key] = {"final_value": final, "layer_values": values}
    return json_document({"layers": [layer.name for layer in layers], "entries": entries})


async def runtime_modify(context: AdminContext, request: AdminRequest) -> AdminReply:
    values = {**request.form(), **request.parameters()}
    if not values:
        raise BadParameterError(
            "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"
            "       or send the parameters as form values\n"
            "use an empty value to remove a previously added override"
        )
    if not any(layer.admin for layer in context.runtime_layers()):
        return text("No admin layer specified", 503)
    await context.runtime_modify(values)
    return ok()


async def healthcheck_fail(context: AdminContext, _request: AdminRequest) -> AdminReply:
    await context.healthcheck_fail()
    return ok()


async def healthcheck_ok(context: AdminContext, _request: AdminRequest) -> AdminReply:
    await context.healthcheck_ok()
    return ok()


async def drain_listeners(context: AdminContext, request: AdminRequest) -> AdminReply:
    flags = request.parameters()
    await context.drain_listeners(
        graceful="graceful" in flags, skip_exit="skip_exit" in flags, inbound_only="inboundonly" in flags
    )
    return ok()


async def reset_counters(context: AdminContext, _request: AdminRequest) -> AdminReply:
    await context.reset_counters()
    return ok()


async def reopen_logs(context: AdminContext, _request: AdminRequest) -> AdminReply:
    reasons = await context.reopen_logs()
    return text("".join(f"{reason}\n" for reason in reasons), 500) if reasons else ok()


async def quitquitquit(context: AdminContext, _request: AdminRequest) -> AdminReply:
    await context.quit()
    return ok()


def _wanted_levels(parameters: dict[str, str], names: list[str]) -> dict[str, str]:
    """The levels that the parameters ask for; raises ValueError with Envoy's words."""
    if len(parameters) > 1:
        raise ValueError("invalid number of parameters")
    if not parameters:
        return {}
    [(key, value)] = parameters.items()
    if key == "level":
        return dict.fromkeys(names, _level(value)) if value else {}
    pairs = value.split(",") if key == "paths" else [f"{key}:{value}"]
    wanted: dict[str, str] = {}
    for pair in pairs:
        name, _, level = pair.rpartition(":")
        if not name or not level:
            raise ValueError("empty logger name or empty logger level")
        if name not in names:
            raise ValueError("unknown logger name")
        wanted[name] = _level(level)
    return wanted


def _level(name: str) -> str:
    if name not in LEVELS:
        raise ValueError("unknown logger level")
    return name


def _loggers(levels: Mapping[str, str]) -> str:
    return "active loggers:\n" + "".join(f"  {name}: {level}\n" for name, level in levels.items()) + "\n"
