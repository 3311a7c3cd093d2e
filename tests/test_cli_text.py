from proxyd import cli_text
from proxyd.config.mistakes import Mistake
from proxyd.supervisor.commands import FileStatus, Reloaded, StatusReport


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


def test_of_each_file_it_is_told_what_is_in_force_and_what_is_wrong() -> None:
    files = (
        FileStatus(
            kind="lds", file="/lds.yaml", name="", result="failure", age_s=61, resources=2, reasons=("why",)
        ),
        FileStatus(kind="sds", file="/sds.yaml", name="served", result="success", age_s=5, version="7"),
        FileStatus(kind="static", file="", name="", result="rejected", age_s=-1, reasons=("one", "two")),
        FileStatus(kind="static", file="", name="", result="success", age_s=5),
    )
    report = StatusReport(
        name="default",
        pid=1,
        version="1",
        state="LIVE",
        uptime_s=0,
        generation=1,
        config="x",
        admin=None,
        listeners=(),
        workers=(),
        last_reload="",
        files=files,
    )
    told = "\n".join(cli_text.status(report).splitlines()[5:-2])
    assert told == (
        "lds /lds.yaml: 2 resources, taken 1 min 1 s ago; the last update could not be read:\n  why\n\n"
        "sds served /sds.yaml: 0 resources of version 7, taken 5 s ago\n\n"
        "static: contents of files as at the start; the last update was rejected:\n  one\n  two\n\n"
        "static: other contents of files, taken 5 s ago"
    )
