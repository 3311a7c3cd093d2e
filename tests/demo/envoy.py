"""The stories told by the real Envoy: what they expect is what it does."""

from proxyd.demo.stage import Program
from tests.conformance.proxies import envoy_program


def _command(name: str, config: str) -> list[str]:
    return [
        *(envoy_program() or "envoy", "-c", config, "-l", "warning", "--concurrency", "1"),
        *("--service-node", name, "--disable-hot-restart", "--drain-time-s", "1"),
        *("--drain-strategy", "immediate", "--file-flush-interval-msec", "50"),
    ]


ENVOY = Program(_command, notices_writing=False)
