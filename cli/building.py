"""Building: one image by Docker, what it says meanwhile, and where it failed."""

import json
import re
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from attrs import Factory, define, frozen

from aioenv import LaunchFailed
from aioenv.cli.context import write_context
from aioenv.cli.dockerfile import set_base_image
from aioenv.cli.errors import CommandFailed
from aioenv.client.engine import Engine, docker_errors

__all__ = ["Build", "Built"]

_TAIL_LINES = 20
_STEP = re.compile(r"Step (\d+)/(\d+) : ")


@frozen
class Built:
    """An image.

    Attributes:
        id: its id, ``sha256:…``.
        size: of all its layers, in bytes.
    """

    id: str
    size: int


@frozen(kw_only=True)
class Build:
    """What is to be built.

    Attributes:
        folder: the context.
        dockerfile: the path of the Dockerfile in it.
        tag: what the image is to be called.
        base_image: what to build upon instead of the Dockerfile's own base, if anything.
        args: values for the Dockerfile's ``ARG``.
        network: the network of its ``RUN``, or ``None`` for Docker's default.
        uses_cache: whether steps may be taken from an earlier build.
    """

    folder: Path
    dockerfile: str
    tag: str
    args: dict[str, str]
    base_image: str | None = None
    network: str | None = None
    uses_cache: bool = True

    async def run(self) -> Built:
        """Build it, and show Docker's log on standard error meanwhile.

        Cancelling it stops the build; the steps that are done, Docker keeps for the next time.

        Raises:
            CommandFailed: a step failed, with its last lines; or the context cannot be read, or
                the Dockerfile has no base to replace.
            LaunchFailed: Docker cannot be reached, or refuses.
        """
        with tempfile.TemporaryFile() as context, _shown(self.tag) as show:
            write_context(self.folder, self.dockerfile, context, self._changed())
            context.seek(0)
            async with Engine.joined() as engine:
                with docker_errors(f"{self.tag} cannot be built"):
                    image_id = await self._follow(engine, context, _Log(show))
                    details = await engine.docker.images.inspect(image_id)
                return Built(details["Id"], details["Size"])

    def _changed(self) -> bytes | None:
        """Return what the Dockerfile is to say instead, if anything."""
        if self.base_image is None:
            return None
        path = self.folder / self.dockerfile
        try:
            return set_base_image(path.read_text("utf-8"), self.base_image).encode()
        except (OSError, ValueError) as error:
            raise CommandFailed(f"{path} cannot be read: {error}") from error

    async def _follow(self, engine: Engine, context: Any, log: "_Log") -> str:
        """Have it built, read the log to its end, and return the image's id."""
        import aiodocker
        from aiodocker.jsonstream import json_stream_stream

        query = {
            "t": self.tag,
            "dockerfile": self.dockerfile,
            "rm": "1",
            "forcerm": "1",  # also the container of a step that failed or was cut off
            "nocache": "0" if self.uses_cache else "1",
            "buildargs": json.dumps(self.args),
            **({"networkmode": self.network} if self.network else {}),
        }
        # As `docker.images.build` does it, which does not know of networks.
        async with engine.docker._query(
            "build",
            "POST",
            params=query,
            headers={"Content-Type": "application/x-tar"},
            data=context,
            timeout=None,
        ) as response:
            try:
                async for report in json_stream_stream(response):
                    log.note(report)
            except aiodocker.DockerError as error:
                raise CommandFailed(log.failure(error.message)) from error
            finally:
                response.close()  # which, in the middle, has Docker stop
        if log.image_id is None:
            raise LaunchFailed("Docker left in the middle of the build; is it still there?")
        return log.image_id


@define
class _Log:
    """What Docker says of a build.

    Attributes:
        show: told each line as it comes, with the number of its step and of all steps.
        image_id: the image, once there is one.
    """

    show: Callable[[str, int, int], None]
    image_id: str | None = None
    _step: str = ""
    _number: int = 0
    _steps: int = 0
    _rest: str = ""
    _tail: deque[str] = Factory(lambda: deque(maxlen=_TAIL_LINES))

    def note(self, report: dict[str, Any]) -> None:
        """Take in one report of the daemon's."""
        if "stream" in report:
            *lines, self._rest = (self._rest + report["stream"]).split("\n")
            for line in lines:
                self._take(click.unstyle(line.rstrip("\r")))
        elif "status" in report and not report.get("progressDetail"):
            self._take(
                f"{report['id']}: {report['status']}" if "id" in report else report["status"]
            )
        elif "ID" in report.get("aux", ()):
            self.image_id = report["aux"]["ID"]

    def failure(self, message: str) -> str:
        """Return what to tell of a build that failed."""
        lines = [line for line in [*self._tail, self._rest] if line.strip()]
        told = "".join(f"\n  {line}" for line in lines)
        reason = message.strip()
        if "BuildKit" in message:
            reason += (
                "\nThis Dockerfile asks for BuildKit, which only Docker's own command has: build "
                "with `docker build`, or build and push with `docker buildx build --push`"
            )
        if not self._step:
            return f"{reason}{told}"
        return f"step {self._number} of {self._steps} failed: {self._step}{told}\n{reason}"

    def _take(self, line: str) -> None:
        step = _STEP.match(line)
        if step:
            self._number, self._steps = int(step[1]), int(step[2])
            self._step = line[step.end() :]
            self._tail.clear()
        elif line.strip():
            self._tail.append(line)
        if line.strip():
            self.show(line, self._number, self._steps)


@contextmanager
def _shown(tag: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show lines of a log: below them, on a terminal, a live line with the step and the time."""
    if not sys.stderr.isatty():
        yield lambda line, number, steps: click.echo(line, err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    with Progress(
        SpinnerColumn(),
        TextColumn("building {task.description}", markup=False),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[step]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(tag, total=None, step="")

        def show(line: str, number: int, steps: int) -> None:
            is_step = _STEP.match(line) is not None
            progress.console.print(Text(line, style="bold" if is_step else "dim"))
            if is_step:
                told = f"step {number} of {steps}"
                progress.update(task, completed=number - 1, total=steps, step=told)

        yield show
