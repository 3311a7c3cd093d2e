"""How often secrets of files have come to TLS contexts; ``tests/conformance/test_updates.py`` asks Envoy."""

from pathlib import Path
from typing import Any

from proxyd.stats.metrics import Registry
from proxyd.supervisor.context_updates import ContextUpdates
from tests.e2e.resource_files import ResourceFile, cluster, listener, response
from tests.net.certificates import Authority
from tests.net.tls_house import UPSTREAM, tls_socket
from tests.supervisor.resource_house import House, secret, secret_in, with_tls

_AUTHORITY = Authority()
_TRUST = {"trusted_ca": {"inline_string": _AUTHORITY.certificate}}


class Counted:
    """What the counters say after each round of a house."""

    def __init__(self, house: House) -> None:
        self._registry = Registry(None)
        self._updates = ContextUpdates(self._registry)
        self._house = house
        self._updates.show(house.first.bootstrap)

    def after(self, *touched: Path) -> dict[str, int]:
        """By the name of the listener's address or of the cluster."""
        if touched:
            self._updates.show(self._house.round(*touched).bootstrap)
        return {name.split(".")[-3]: each.value for name, each in self._registry.counters.items()}


def test_each_secret_counts_when_it_comes_and_whenever_it_is_another(tmp_path: Path) -> None:
    served = ResourceFile(tmp_path / "served.json")
    trust = ResourceFile(tmp_path / "trust.json", secret("trust", validation_context=_TRUST))
    common = {"tls_certificate_sds_secret_configs": [secret_in(served.path)]}
    both = {**common, "validation_context_sds_secret_config": secret_in(trust.path, "trust")}

    def front(**manager: Any) -> dict[str, Any]:
        return with_tls(listener("front", "127.0.0.1:1001", **manager), **common)

    mutual = with_tls(listener("mutual", "127.0.0.1:1002"), **both)
    upstream = cluster("127.0.0.1:1", name="up")
    upstream["transport_socket"] = tls_socket(UPSTREAM, {"common_tls_context": both})
    house = House(tmp_path, front(), mutual)
    plain = cluster("127.0.0.1:1")
    house.cds.write(response(plain, upstream))
    counted = Counted(house)
    assert counted.after() == {"1_1001": 0, "1_1002": 1}
    assert counted.after(house.cds.path) == {"1_1001": 0, "1_1002": 1, "up": 1}
    served.write(response(secret(tls_certificate=_AUTHORITY.issue("one").config)))
    assert counted.after(served.path) == {"1_1001": 1, "1_1002": 2, "up": 2}
    served.write(response(secret(tls_certificate=_AUTHORITY.issue("two").config)))
    assert counted.after(served.path) == {"1_1001": 2, "1_1002": 3, "up": 3}

    # A context that is made anew gets all its secrets, others none.
    house.lds.write(response(front(server_name="another"), mutual))
    assert counted.after(house.lds.path) == {"1_1001": 3, "1_1002": 3, "up": 3}
    house.lds.write(response(front(server_name="another"), {**mutual, "tcp_backlog_size": 7}))
    assert counted.after(house.lds.path) == {"1_1001": 3, "1_1002": 5, "up": 3}
    house.cds.write(response(plain))
    assert counted.after(house.cds.path) == {"1_1001": 3, "1_1002": 5}
    house.cds.write(response(plain, upstream))
    assert counted.after(house.cds.path) == {"1_1001": 3, "1_1002": 5, "up": 2}
