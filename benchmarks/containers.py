"""Containers: what the image weighs, and how long launchers take with it."""

import contextlib
import statistics
import time
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import attrs

from benchmarks.contender import clean_environment
from benchmarks.lineup import launcher
from benchmarks.program import Program, ProgramError
from echo_env import EchoEnv
from tests.docker.images import docker, own_size_bytes

__all__ = ["ImageSize", "Launches", "Life", "measure_image", "measure_launches", "measure_life"]

TIMEOUT_S = 300.0
#: Between two questions for the health of a container that starts.
PAUSE_S = 0.01


@attrs.frozen
class ImageSize:
    """What an image weighs."""

    image: str
    size_bytes: int
    #: Without its base.
    own_bytes: int


@attrs.frozen
class Life:
    """How long a container of an image takes to begin and to end, round by round."""

    #: From the order to start it until its service answers that it is healthy.
    rounds_health_s: tuple[float, ...]
    #: From SIGTERM, with a session open, until it has ended.
    rounds_end_s: tuple[float, ...]

    @property
    def health_s(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_health_s)

    @property
    def end_s(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_end_s)


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


def measure_life(image: str, *, rounds: int) -> Life:
    """Start containers by Docker's own hand, and stop them, after one that only warms up.

    Raises:
        ProgramError: one does not become healthy, or does not end in order.
    """
    lives = [_live_once(image) for _ in range(1 + rounds)][1:]
    healths_s, ends_s = zip(*lives, strict=True)
    return Life(healths_s, ends_s)


def _live_once(image: str) -> tuple[float, float]:
    container = docker("create", "--publish", "127.0.0.1::8000", image)
    try:
        began = time.perf_counter()
        docker("start", container)
        address = docker("port", container, "8000/tcp")
        _wait_healthy(f"http://{address}/health")
        health_s = time.perf_counter() - began
        with EchoEnv(f"http://{address}").sync() as env:
            env.reset()
            began = time.perf_counter()
            docker("kill", "--signal", "TERM", container)
            exit_code = docker("wait", container)
            end_s = time.perf_counter() - began
    except RuntimeError as error:
        raise ProgramError(f"a container cannot be measured: {error}") from error
    finally:
        docker("rm", "--force", "--volumes", container)
    if exit_code != "0":
        raise ProgramError(f"a container ended with exit code {exit_code}, not 0")
    return health_s, end_s


def _wait_healthy(url: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url) as reply:
            if reply.status == HTTPStatus.OK:
                return
        time.sleep(PAUSE_S)
    raise ProgramError(f"{url} is not healthy after {TIMEOUT_S:g} s")


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
