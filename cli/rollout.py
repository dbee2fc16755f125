"""``aioenv rollout``: play many episodes at a time, and tell how it went."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import click
from attrs import frozen

from aioenv import ConnectionFailed, dumps
from aioenv.cli.errors import CommandFailed, debug_option, way_out
from aioenv.cli.options import headers, variables
from aioenv.cli.progress import live_progress, live_starts
from aioenv.cli.report import Report
from aioenv.cli.targets import load_policy
from aioenv.client import (
    CannotDraw,
    EnvClient,
    Fleet,
    GenericEnvClient,
    RandomPolicy,
    Rollout,
    fetch_schemas,
)
from aioenv.client import rollout as play
from aioenv.client.http import fetch
from aioenv.service import event_loop_factory

__all__ = ["rollout"]

_Fleet: TypeAlias = Fleet[dict[str, Any], dict[str, Any], dict[str, Any]]


@frozen(kw_only=True)
class _Plan:
    """What was asked for on the command line."""

    url: str | None
    image: str | None
    containers: int
    env_vars: dict[str, str]
    episodes: int
    concurrency: int
    steps: int
    seed: int
    retries: int
    policy: Callable[..., Any] | None
    capacity_timeout_s: float
    message_timeout_s: float
    headers: dict[str, str]


@click.command(
    epilog="""\b
--json prints one object: episodes, steps, wall_s, steps_per_s,
step_latency_ms {p50, p95, p99}, mean_return (of the episodes that did not
fail), endings {ending: count}, errors {kind: count}, retries.
--out writes one trajectory a line: episode, episode_id, seed, attempts,
ending (done, steps, policy or failed), failure {kind, message}, length,
total_reward, observation, steps [{action, observation, reward, done}],
step_latencies_s.
A policy is a function, plain or async, of a result and an episode. Its
observations and actions are dicts here; None for an action ends the episode:
  def policy(result, episode):
      return {"message": result.observation["echoed_message"][:-1]}
\b
Exit codes: 0 all well, 1 an episode failed, 2 wrong usage, 130 Ctrl-C, SIGTERM
or SIGHUP.
Examples:
  aioenv rollout --episodes 256 --concurrency 256
  aioenv rollout --url http://localhost:8000 --policy agent:act --out t.jsonl
  aioenv rollout --image echo-env:latest --containers 4
""",
)
@click.option("--url", help="The service to play at.  [default: Echo, embedded]")
@click.option("--image", help="The image to play in: containers of it are started and removed.")
@click.option(
    "--containers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many containers; the sessions are spread evenly over them.",
)
@click.option(
    "--env",
    "env_vars",
    multiple=True,
    callback=variables,
    metavar="NAME=VALUE",
    help="Set this variable in the containers. May be repeated.",
)
@click.option(
    "--episodes",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="How many episodes to play.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Most episodes at a time.",
)
@click.option(
    "--steps",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Most steps of an episode.",
)
@click.option(
    "--policy", metavar="MODULE:FUNCTION", help="What chooses actions.  [default: random actions]"
)
@click.option(
    "--seed",
    type=click.INT,
    default=0,
    show_default=True,
    help="Seed of the first episode; the next has the next.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="How often an episode may begin anew when the service is full or lost.",
)
@click.option(
    "--capacity-timeout-s",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="How long to wait for a free session.",
)
@click.option(
    "--message-timeout-s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="How long to wait for an answer.",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    callback=headers,
    metavar="'NAME: VALUE'",
    help="Send this header, such as 'Authorization: Bearer …'. May be repeated.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the trajectories to this file, as JSON Lines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, not a table.")
@debug_option
def rollout(out: Path | None, as_json: bool, policy: str | None, **options: Any) -> int:
    """Play episodes and tell how fast and how well it went.

    Without --url or --image it plays Echo, embedded in this process.
    """
    plan = _Plan(policy=None if policy is None else load_policy(policy), **options)
    fleet = _fleet(plan)
    report = Report(plan.url or plan.image or "echo_env, embedded")
    with _opened(out) as file, asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        is_interrupted = runner.run(_run(plan, fleet, report, file))
    if as_json:
        click.echo(dumps(report.as_dict()).decode())
    else:
        report.print_table()
    if is_interrupted:
        click.echo(f"Interrupted after {report.ended} of {plan.episodes} episodes.", err=True)
        return 130
    return 1 if report.errors else 0


async def _run(plan: _Plan, fleet: _Fleet, report: Report, file: BinaryIO | None) -> bool:
    """Play it all.

    Returns:
        Whether it was interrupted.
    """
    _heed_signals()
    try:
        if plan.image is None:
            await fleet.start()
        else:
            async with live_starts(fleet.members):
                await fleet.start()
        policy = await _policy(plan, fleet.members[0])
        await _play(plan, fleet, policy, report, file)
    except asyncio.CancelledError:
        return True
    finally:
        await fleet.close()
    return False


def _heed_signals() -> None:
    """Have whoever ends this process, or its terminal, interrupt the task as Ctrl-C does.

    Once: `timeout` sends its signal twice. What is ignored, as `nohup` has it, stays so.
    """
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, interrupt)


async def _play(
    plan: _Plan,
    fleet: _Fleet,
    policy: Callable[..., Any],
    report: Report,
    file: BinaryIO | None,
) -> None:
    run = play(
        fleet,
        policy,
        episodes=plan.episodes,
        concurrency=plan.concurrency,
        steps=plan.steps,
        seed=plan.seed,
        retries=plan.retries,
        keep_steps=file is not None,
    )
    began_at = time.perf_counter()
    async with run, live_progress(run):
        recording = asyncio.create_task(_record(run, report, file))
        try:
            await asyncio.wait([recording])
        except asyncio.CancelledError:
            click.echo("Closing the sessions; Ctrl-C again ends at once.", err=True)
            raise
        finally:
            report.conclude(run.statistics(), time.perf_counter() - began_at)
            recording.cancel()
            await asyncio.wait([recording])
        await recording


async def _record(run: Rollout[Any, Any], report: Report, file: BinaryIO | None) -> None:
    """Take in every trajectory of a rollout."""
    async for trajectory in run:
        report.add(trajectory)
        if file is not None:
            _write(file, dumps(trajectory))


async def _policy(plan: _Plan, client: EnvClient[Any, Any, Any]) -> Callable[..., Any]:
    """Return the policy, once the service has shown that it is there."""
    try:
        if plan.policy is not None:
            await fetch(client, "/metadata")
            return plan.policy
        schemas = await fetch_schemas(client)
        return RandomPolicy(schemas["action"])
    except ConnectionFailed as error:
        if plan.policy is not None and error.status == 404:
            return plan.policy  # some services tell nothing, and can be played all the same
        raise CommandFailed(f"{error}; {way_out(error)}") from error
    except CannotDraw as error:
        raise CommandFailed(f"{error}; pass a --policy of your own") from error


def _fleet(plan: _Plan) -> _Fleet:
    """Return the clients to play with, which hold nothing yet."""
    if plan.image is None:
        if plan.containers > 1 or plan.env_vars:
            raise click.UsageError("--containers and --env go with --image")
        return Fleet([_client(plan)])
    if plan.url is not None:
        raise click.UsageError("--url and --image name two services; choose one")
    return Fleet([_client(plan) for _ in range(plan.containers)])


def _client(plan: _Plan) -> GenericEnvClient:
    options: dict[str, Any] = {
        "capacity_timeout_s": plan.capacity_timeout_s,
        "message_timeout_s": plan.message_timeout_s,
        "headers": plan.headers,
    }
    if plan.image is not None:
        try:
            return GenericEnvClient.from_docker_image(plan.image, env_vars=plan.env_vars, **options)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="'--image'") from error
    if plan.url is None:
        # Late, because whoever serves a folder means the `echo_env` there.
        from echo_env.environment import EchoEnvironment

        return GenericEnvClient.from_environment(EchoEnvironment, **options)
    try:
        return GenericEnvClient(plan.url, **options)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--url'") from error


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO | None]:
    """Open the file for the trajectories, if there is to be one."""
    if path is None:
        yield None
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}") from error
    with file:
        yield file


def _write(file: BinaryIO, line: bytes) -> None:
    try:
        file.write(line + b"\n")
        file.flush()
    except OSError as error:
        raise CommandFailed(f"cannot write {file.name}: {error.strerror}") from error
