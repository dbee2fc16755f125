"""The command ``aioenv``: its subcommands, and the one place where errors become lines."""

import os
from collections.abc import Sequence

import click

from aioenv import __version__
from aioenv.cli.build import build
from aioenv.cli.completion import completion
from aioenv.cli.containers import prune, ps
from aioenv.cli.errors import Diagnosis, debug_option, report_error
from aioenv.cli.init import init
from aioenv.cli.push import push
from aioenv.cli.rollout import rollout
from aioenv.cli.serve import serve
from aioenv.cli.validate import validate

__all__ = ["aioenv", "main"]


def main(argv: Sequence[str] | None = None, *, name: str = "aioenv") -> int:
    """Run the command line.

    Args:
        argv: the arguments; by default the program's own.
        name: what it is called, for its help.

    Returns:
        The exit code: 0 for success, 1 where what was asked for failed, 2 for wrong usage, 130
        for Ctrl-C.
    """
    diagnosis = Diagnosis()
    try:
        code = aioenv.main(
            None if argv is None else list(argv),
            prog_name=name,
            standalone_mode=False,
            obj=diagnosis,
            color=False if os.environ.get("NO_COLOR") else None,
        )
    except Exception as error:
        return report_error(error, diagnosis)
    return code or 0


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Exit codes: 0 success, 1 what was asked for failed, 2 wrong usage, 130 Ctrl-C.
An error is one line on standard error; --debug adds its traceback. NO_COLOR
turns colours off.
\b
Examples:
  aioenv init word_game              make an environment of your own
  aioenv serve                       serve the environment of this folder
  aioenv rollout --episodes 256      play 256 episodes of Echo
  aioenv build                       build its image
  aioenv validate                    check the environment of this folder
  aioenv push                        deploy it to Hugging Face
  eval "$(aioenv completion bash)"   complete commands and options in this shell
  aioenv ps                          list the containers that clients have started
""",
)
@click.version_option(__version__)
@debug_option
def aioenv() -> None:
    """Make OpenEnv environments, serve them, and play them."""


aioenv.add_command(init)
aioenv.add_command(serve)
aioenv.add_command(build)
aioenv.add_command(validate)
aioenv.add_command(rollout)
aioenv.add_command(push)
aioenv.add_command(ps)
aioenv.add_command(prune)
aioenv.add_command(completion)
