from proxyd import cli_text
from proxyd.config.mistakes import Mistake
from proxyd.supervisor.commands import Reloaded


def test_mistakes_are_told_one_a_line_and_counted() -> None:
    one = Mistake("a.yaml", 2, 3, "static_resources.x", "unknown field")
    assert cli_text.mistakes([one]).splitlines() == [
        "a.yaml:2:3: static_resources.x: unknown field",
        "proxyd: 1 mistake in the configuration",
    ]
    assert cli_text.mistakes([one, one]).splitlines()[-1] == "proxyd: 2 mistakes in the configuration"


def test_a_reload_says_what_it_did() -> None:
    reply = Reloaded(generation=2, workers=1, seconds=0.456, carried=3, drained=False)
    assert cli_text.reloaded(reply) == (
        "generation 2 has taken over with 1 worker in 0.46 s; "
        "the old workers drain, 3 connections carried through"
    )


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    assert cli_text.table([("NAME", "N"), ("a", "10"), ("long", "2")]) == ["NAME   N", "a     10", "long   2"]


def test_durations_have_two_units_at_most() -> None:
    shown = {seconds: cli_text.duration(seconds) for seconds in (0, 0.9, 59, 60, 3600, 3661, 90061)}
    assert shown == {
        0: "0 s",
        0.9: "0 s",
        59: "59 s",
        60: "1 min",
        3600: "1 h",
        3661: "1 h 1 min",
        90061: "1 d 1 h",
    }


def test_changes_stand_beside_the_numbers_that_changed() -> None:
    before = "a.rq: 10\nb.rq: 5\nc.text: x: y"
    now = "a.rq: 12\nb.rq: 5\nc.text: x: y\nd.new: 3\ne.down: 1"
    assert cli_text.changes(before + "\ne.down: 4", now).splitlines() == [
        "a.rq: 12  (+2)",
        "b.rq: 5",
        "c.text: x: y",
        "d.new: 3  (+3)",
        "e.down: 1  (-3)",
    ]
