"""scripts/install-nssm.ps1, as far as it can be read: nothing here runs PowerShell. What it sets up is
shown by the test of NSSM in tests/e2e/test_windows_service.py."""

import click

from proxyd.cli import cli
from tests.e2e.nssm_script import NssmScript

DRAIN = 25


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
