"""A move of one file, and where its being taken is counted: data only."""

from dataclasses import dataclass
from typing import Final

COUNTED: Final = ("update_attempt", "update_success", "update_failure", "update_rejected")


@dataclass(frozen=True)
class Step:
    """``text`` is moved over ``file``; ``outcome`` is which of COUNTED Envoy has to count."""

    name: str
    file: str
    text: str
    outcome: str = "update_success"

    def __str__(self) -> str:
        return self.name


# Where the updates of a file are counted.
SCOPES: Final = {
    "lds.yaml": "listener_manager.lds",
    "cds.yaml": "cluster_manager.cds",
    "rds.yaml": "http.routed.rds.routes",
    "eds.yaml": "cluster.discovered",
    "sds.yaml": "sds.served",
}
