"""`proxyd completion`: what it prints is for the shell that is named, and what that asks for is answered."""

import pytest
from click.testing import CliRunner

from proxyd import cli_completion
from proxyd.cli import cli


@pytest.mark.parametrize(
    ("shell", "registers"),
    [
        ("bash", "complete -o nosort -F _proxyd_completion proxyd"),
        ("zsh", "#compdef proxyd"),
        ("fish", "complete --no-files --command proxyd"),
    ],
)
def test_a_script_registers_the_command(shell: str, registers: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert registers in result.output


def test_what_this_click_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_completion, "get_completion_class", lambda shell: None)
    result = CliRunner().invoke(cli, ["completion", "powershell"])
    assert result.exit_code == 2
    assert "has no completion for powershell; install a newer one" in result.output


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("proxyd re", ["plain,reload", "plain,reopen-logs"]),
        ("proxyd service un", ["plain,uninstall"]),
        ("proxyd start --drain", ["plain,--drain-time-s"]),
    ],
)
def test_the_shell_is_told_what_can_follow(words: str, found: list[str]) -> None:
    asked = {"_PROXYD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    result = CliRunner().invoke(cli, env=asked, prog_name="proxyd")
    assert result.output.split() == found
