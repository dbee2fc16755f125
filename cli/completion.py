"""``aioenv completion``: the script that makes a shell complete our commands and options."""

import click
from click.shell_completion import get_completion_class

from aioenv.cli.errors import debug_option

__all__ = ["completion"]


@click.command(
    epilog="""\b
Exit codes: 0 success, 2 wrong usage.
Examples:
  aioenv completion bash >> ~/.bashrc
  aioenv completion zsh >> ~/.zshrc
  aioenv completion fish > ~/.config/fish/completions/aioenv.fish
  eval "$(aioenv completion bash)"    for this shell only
\b
zsh completes nothing before: autoload -U compinit && compinit
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands and options.

    It takes effect in shells that are started after it was added, under the name by which this
    program was called.
    """
    root = context.find_root()
    name = root.info_name or "aioenv"
    script = get_completion_class(shell)
    assert script is not None
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    click.echo(script(root.command, {}, name, variable).source())
