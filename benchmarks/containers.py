"""Containers: what the image weighs, and how long launchers take with it."""

import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.contender import clean_environment
from benchmarks.lineup import launcher
from benchmarks.program import Program, ProgramError
from tests.docker.images import docker, own_size_bytes

__all__ = ["ImageSize", "Launches", "measure_image", "measure_launches"]

TIMEOUT_S = 300.0


@attrs.frozen
class ImageSize:
    """What an image weighs."""

    image: str
    size_bytes: int
    #: Without its base.
    own_bytes: int


@attrs.frozen
class Launches:
    """How long one launcher takes for so many containers at a time, round by round."""

    name: str
    starts: int
    #: From the call to the first reply of the last.
    rounds_start_s: tuple[float, ...]
    #: From the call of `close` until the last is gone.
    rounds_stop_s: tuple[float, ...]

    @property
    def start_s(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_start_s)

    @property
    def stop_s(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_stop_s)


def measure_image(image: str) -> ImageSize:
    """Weigh an image.

    Raises:
        ProgramError: there is no Docker, or no such image.
    """
    try:
        size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
        return ImageSize(image, size, own_size_bytes(image))
    except RuntimeError as error:
        raise ProgramError(f"containers cannot be measured; try `make image`: {error}") from error


def measure_launches(
    names: Sequence[str], image: str, *, starts: Sequence[int], rounds: int, stage: Path
) -> list[Launches]:
    """Have launchers start and stop containers in turn, after one that only warms up."""
    measured = []
    with contextlib.ExitStack() as stack:
        programs = {}
        for name in names:
            argv = launcher(name, image)
            program = Program(name, argv, environment=clean_environment(stage), folder=stage)
            stack.callback(program.stop)
            program.wait_line(timeout_s=TIMEOUT_S)
            program.request({"starts": 1}, timeout_s=TIMEOUT_S)
            programs[name] = program
        for count in starts:
            answers: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for _ in range(rounds):
                for name, program in programs.items():
                    answers[name].append(program.request({"starts": count}, timeout_s=TIMEOUT_S))
            for name in names:
                start_s = tuple(answer["start_s"] for answer in answers[name])
                stop_s = tuple(answer["stop_s"] for answer in answers[name])
                measured.append(Launches(name, count, start_s, stop_s))
    return measured
