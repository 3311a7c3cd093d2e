from proxyd.supervisor.main import _shortened


def test_many_listeners_are_not_all_told():
    every = [f"l{number} on 127.0.0.1:{number}" for number in range(1, 8)]
    assert _shortened(every[:5]) == ", ".join(every[:5])
    assert _shortened(every) == ", ".join(every[:5]) + " and 2 more"
    assert _shortened([]) == ""
