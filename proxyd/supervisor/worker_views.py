"""Every worker process with its numbers: what /workers and ``proxyd status`` both print."""

import time
from collections.abc import Sequence

from proxyd.admin.context import WorkerView
from proxyd.supervisor.supervisor import Supervisor


def worker_views(supervisor: Supervisor) -> Sequence[WorkerView]:
    """All workers of all generations, oldest generation first."""
    now = time.monotonic()
    views: list[WorkerView] = []
    for generation in supervisor.generations:
        for worker in generation.workers.values():
            member = worker.member
            numbers = supervisor.totals.worker(member.worker_id)
            usage = supervisor.vitals.usage(member.pid)
            views.append(
                WorkerView(
                    pid=member.pid,
                    generation=generation.number,
                    slot=member.slot,
                    state=member.state,
                    connections=numbers.connections,
                    requests_active=numbers.requests_active,
                    requests_total=numbers.requests_total,
                    cpu_seconds=usage.cpu_seconds,
                    cpu_percent=usage.cpu_percent,
                    memory=usage.memory,
                    loop_lag=numbers.loop_lag_us / 1e6,
                    loop_lag_max=numbers.loop_lag_max_us / 1e6,
                    heartbeat_age=max(0.0, now - (numbers.heartbeat or member.born)),
                    uptime=now - member.born,
                )
            )
    return views
