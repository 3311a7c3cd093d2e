"""The command `proxyd completion`: what a shell needs to complete the others."""

import importlib.metadata
from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS: Final = ("bash", "zsh", "fish", "powershell")
_VARIABLE: Final = "_PROXYD_COMPLETE"  # click asks for it when the program is called proxyd


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print the completion script of a shell.

    bash: `eval "$(proxyd completion bash)"` in ~/.bashrc, or write it to
    ~/.local/share/bash-completion/completions/proxyd. zsh: the same in ~/.zshrc. fish: write it to
    ~/.config/fish/completions/proxyd.fish. powershell: `proxyd completion powershell | Out-String |
    Invoke-Expression` in $PROFILE.
    """
    found = get_completion_class(shell)
    if found is None:
        installed = importlib.metadata.version("click")
        raise click.UsageError(f"click {installed} has no completion for {shell}; install a newer one")
    click.echo(found(context.find_root().command, {}, "proxyd", _VARIABLE).source())
