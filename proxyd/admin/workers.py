"""/workers, proxyd's own: every process, how busy it is and how it feels."""

from proxyd.admin.context import AdminContext, WorkerView
from proxyd.admin.endpoint import BadParameterError
from proxyd.admin.messages import AdminReply, AdminRequest, json_document, text

COLUMNS = (
    "worker", "pid", "generation", "state", "connections", "requests", "active", "cpu_percent", "cpu_seconds",
    "memory_mib", "lag_ms", "lag_max_ms", "heartbeat_s", "uptime_s",
)  # fmt: skip


async def workers(context: AdminContext, request: AdminRequest) -> AdminReply:
    """A table with a line for each process, or the same as JSON in base units (seconds, bytes)."""
    form = request.parameters().get("format") or "text"
    if form not in ("text", "json"):
        raise BadParameterError("usage: /workers?format=(json|text)\n")
    present = sorted(context.workers(), key=lambda worker: (worker.generation, worker.slot, worker.pid))
    if form == "json":
        return json_document({"workers": [_as_json(worker) for worker in present]})
    rows = [COLUMNS, *(row(worker) for worker in present)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in rows
    ]
    return text("".join(line + "\n" for line in lines))


def row(worker: WorkerView) -> tuple[str, ...]:
    """What stands under COLUMNS for one worker."""
    return (
        str(worker.slot),
        str(worker.pid),
        str(worker.generation),
        worker.state,
        str(worker.connections),
        str(worker.requests_total),
        str(worker.requests_active),
        f"{worker.cpu_percent:.1f}",
        f"{worker.cpu_seconds:.2f}",
        f"{worker.memory / (1 << 20):.1f}",
        f"{worker.loop_lag * 1e3:.2f}",
        f"{worker.loop_lag_max * 1e3:.2f}",
        f"{worker.heartbeat_age:.2f}",
        f"{worker.uptime:.0f}",
    )


def _as_json(worker: WorkerView) -> dict[str, object]:
    return {
        "worker": worker.slot,
        "pid": worker.pid,
        "generation": worker.generation,
        "state": worker.state,
        "connections": worker.connections,
        "requests_total": worker.requests_total,
        "requests_active": worker.requests_active,
        "cpu_percent": round(worker.cpu_percent, 1),
        "cpu_seconds": round(worker.cpu_seconds, 3),
        "memory_bytes": worker.memory,
        "loop_lag_seconds": round(worker.loop_lag, 6),
        "loop_lag_max_seconds": round(worker.loop_lag_max, 6),
        "heartbeat_age_seconds": round(worker.heartbeat_age, 3),
        "uptime_seconds": round(worker.uptime, 1),
    }
