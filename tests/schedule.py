"""How several processes share out the tests (`pytest -n 2`): what has fixtures in common stays together."""

from xdist.scheduler import LoadScopeScheduling


class Schedule(LoadScopeScheduling):
    """A file goes to one process as a whole; so do the files whose cases are played all at once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder, _, name = file.rpartition("/")
        if not folder.endswith("conformance") or name in _BY_THEMSELVES:
            return file
        for kind in ("tls", "tcp"):
            if name.startswith(f"test_{kind}_"):
                return f"{folder}/{kind}"
        return folder


# The files of tests/conformance that need no laboratory, or have their own.
_BY_THEMSELVES = (
    "test_corpus.py",
    "test_flush_timeouts.py",
    "test_hashing.py",
    "test_ipv4_compat.py",
    "test_judged.py",
    "test_lists.py",
    "test_redirected.py",
    "test_terminated_connect.py",
    "test_third_party.py",
    "test_udp_proxy.py",
    "test_updates.py",
)
