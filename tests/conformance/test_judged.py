"""The repository's own corpus of malformed messages (tests/cases), through a real proxyd."""

import sys

import pytest

from tests.cases.requests import REQUESTS
from tests.cases.responses import RESPONSES
from tests.cases.verdicts import Accept, Refuse
from tests.conformance.case import Answer, Do
from tests.conformance.judge import Exchange, Judged, judge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="proxyd's processes run on Linux only so far")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    exchanges = {f"request {name}": Exchange(raw) for name, (raw, _) in REQUESTS.items()}
    for name, (raw, method, _) in RESPONSES.items():
        request = method + b" /asked HTTP/1.1\r\nhost: h\r\n\r\n"
        exchanges[f"response {name}"] = Exchange(request, (Answer((raw, Do.SHUT)),))
        exchanges[f"kept response {name}"] = Exchange(request, (Answer((raw,)),))
    return judge(exchanges, tmp_path_factory.mktemp("judged"))


@pytest.mark.parametrize("name", REQUESTS)
def test_request(name: str, judged: dict[str, Judged]) -> None:
    verdict = judged[f"request {name}"]
    expected = REQUESTS[name][1]
    assert verdict.unsafe == []
    if isinstance(expected, Accept):
        assert verdict.statuses[: expected.requests] == [200] * expected.requests
        assert [message.body for message in verdict.forwarded] == list(expected.bodies)
    else:
        assert verdict.forwarded == []
        assert verdict.statuses[:1] == [expected.status] * bool(expected.status)


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("end", ["response", "kept response"])
def test_response(name: str, end: str, judged: dict[str, Judged]) -> None:
    verdict = judged[f"{end} {name}"]
    expected = RESPONSES[name][2]
    assert verdict.unsafe == []
    if isinstance(expected, Refuse):
        if expected.status:
            assert verdict.statuses == [expected.status]
        else:
            assert not verdict.whole
    elif expected.at_close and end == "kept response":
        assert not verdict.whole or verdict.statuses == []
    else:
        assert verdict.statuses == [expected.status]
        assert verdict.whole
        assert (verdict.body,) == expected.bodies
