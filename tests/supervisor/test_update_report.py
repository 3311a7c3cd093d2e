"""What statistics say of subscriptions."""

from pathlib import Path

import pytest

from proxyd.stats.metrics import Registry
from proxyd.supervisor.resources import Assembly
from proxyd.supervisor.update_report import UpdateReport
from tests.e2e.resource_files import listener, response
from tests.net.certificates import Authority
from tests.supervisor.resource_house import House, PairFiles, as_static, with_tls


class Told:
    """A report, and what it says."""

    def __init__(self) -> None:
        self.registry = Registry(None)
        self._report = UpdateReport(self.registry)

    def hear(self, assembly: Assembly) -> None:
        self._report.tell(assembly.outcomes, assembly.states)

    def attempts(self, scope: str) -> list[int]:
        """Attempts, successes, failures, rejections."""
        names = ("attempt", "success", "failure", "rejected")
        return [self.registry.counters[f"{scope}update_{name}"].value for name in names]

    def error(self, scope: str) -> str:
        return self.registry.texts[f"{scope}update_error"].value


def test_an_error_is_told_until_it_is_mended_whatever_else_succeeds(tmp_path: Path) -> None:
    files = PairFiles(tmp_path / "pair", Authority().issue("one"))
    secure = with_tls(listener("secure"), tls_certificates=[files.config])
    house, told = House(tmp_path, secure), Told()
    told.hear(house.first)
    house.lds.write(response(secure, listener("bad", stat_prefix="")))
    told.hear(house.round(house.lds.path))
    files.write(Authority().issue("two"))
    told.hear(house.round(files.crt))
    lds = "listener_manager.lds."
    assert told.attempts(lds) == [2, 1, 0, 1]
    assert "stat_prefix" in told.error(lds)
    house.lds.write(response(secure))
    told.hear(house.round(house.lds.path))
    assert told.error(lds) == ""


def test_static_resources_have_statistics_once_their_files_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = PairFiles(tmp_path / "pair", Authority().issue("one"))
    static = with_tls(as_static(listener("still")), tls_certificates=[files.config])
    house, told = House(tmp_path, listener(), listeners=[static]), Told()
    told.hear(house.first)
    assert "static_resources.update_attempt" not in told.registry.counters
    two = Authority().issue("two")
    files.key.write_text(two.key)
    told.hear(house.round(files.key))
    house.lds.write(response(listener(), listener("more")))
    told.hear(house.round(house.lds.path))
    assert told.attempts("static_resources.") == [1, 0, 0, 1]
    assert "is not the key of the certificate" in told.error("static_resources.")
    files.crt.write_text(two.chain)
    caplog.set_level("INFO", "config")
    told.hear(house.round(files.crt))
    assert told.attempts("static_resources.") == [2, 1, 0, 1]
    assert caplog.messages[-1] == "static: files of static resources updated"
    assert told.error("static_resources.") == ""


def test_what_workers_refuse_of_files_that_are_named_is_no_attempt(tmp_path: Path) -> None:
    files = PairFiles(tmp_path / "pair", Authority().issue("one"))
    house, told = House(tmp_path, with_tls(listener(), tls_certificates=[files.config])), Told()
    told.hear(house.first)
    files.write(Authority().issue("two"))
    before = house.known
    told.hear(house.round(files.crt).refused("a worker cannot", before))
    assert told.attempts("listener_manager.lds.") == [1, 1, 0, 0]
    assert "a worker cannot" in told.error("listener_manager.lds.")
