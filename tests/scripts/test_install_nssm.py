"""scripts/install-nssm.ps1, as far as it can be read: nothing here runs PowerShell, there is a grammar of it.
What the script sets up is shown by the test of NSSM in tests/e2e/test_windows_service.py."""

import click

from proxyd.cli import cli
from tests.e2e.nssm_script import SCRIPT, NssmScript

DRAIN = 25


def _mistakes(source: bytes) -> list[str]:
    """Where the grammar of PowerShell finds something else than it expects."""
    import tree_sitter
    import tree_sitter_powershell

    found = []
    nodes = [
        tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language())).parse(source).root_node
    ]
    while nodes:
        node = nodes.pop()
        if node.is_error or node.is_missing:
            found.append(f"line {node.start_point.row + 1}: {node}")
        nodes += node.children
    return found


def test_it_is_powershell() -> None:
    source = SCRIPT.read_bytes()
    assert _mistakes(source) == []
    assert _mistakes(source.replace(b'-join " "', b'-join " ', 1)) != []
    assert _mistakes(source.replace(b"if ($Start) {", b"if ($Start {", 1)) != []


def test_what_it_starts_is_a_command_of_proxyd() -> None:
    words = NssmScript.read().words(
        configPath="C:\\a folder\\proxyd.yaml", Name="one", runDirectory="C:\\run", DrainSeconds=f"{DRAIN}"
    )
    assert words[:4] == ["-P", "-m", "proxyd", "start"]
    command = cli.commands["start"]
    assert isinstance(command, click.Command)
    options = command.make_context("start", words[4:]).params
    assert (options["name"], options["drain_time_s"]) == ("one", DRAIN)
    assert options["run_dir"] == "C:\\run"


def test_nssm_waits_longer_than_it_drains_and_ends_nothing_itself() -> None:
    settings = NssmScript.read().settings(service="proxyd", DrainSeconds=DRAIN)
    told = {name: value for name, *_, value in settings}
    assert int(told["AppStopMethodConsole"]) > DRAIN * 1000
    # Bits of what is left out: closing windows (2), posting to threads (4), ending processes (8).
    assert told["AppStopMethodSkip"] == "14"
    assert ["AppExit", "Default", "Restart"] in settings
    assert ["AppExit", "2", "Exit"] in settings  # a command line that makes no sense will make none later
    assert NssmScript.read().key("proxyd").endswith("\\Services\\proxyd\\Parameters")
