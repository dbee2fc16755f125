"""`aioenv rollout`: what it plays, prints and writes, and how it ends."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from aioenv import loads
from aioenv.cli import main
from aioenv.cli.report import Latencies
from tests.cli.conftest import DEADLINE_S, Start

AGENT = """
import os, signal

def say(result, episode):
    return {"do": "go on"}

async def end(result, episode):
    return {"do": "end"}

def fail(result, episode):
    return {"do": "fail" if episode.index % 2 else "go on"}

def stumble(result, episode):
    raise LookupError("no idea")

def hang(result, episode):
    if episode.index == 0:
        print("hanging", flush=True)
    return {"do": "hang"}

def kill(result, episode):
    if (episode.index, episode.step) == (2, 1):
        os.kill(int(os.environ["VICTIM"]), signal.SIGKILL)
    return {"do": "go on"}
"""


@pytest.fixture(autouse=True)
def _agent(folder: Path) -> None:
    (folder / "agent.py").write_text(AGENT)


@pytest.fixture
def world(start: Start) -> str:
    """Serve a world with room for three, and return its address."""
    program = start("serve", "worlds:app", "--port", 0, "--max-concurrent-envs", 3)
    return program.wait_address(DEADLINE_S)


def run_json(capsys: pytest.CaptureFixture[str], *argv: Any) -> tuple[int, dict[str, Any]]:
    """Run a rollout with ``--json``; return its exit code and what it printed."""
    code = main(["rollout", "--json", *map(str, argv)])
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1
    return code, loads(out)


class TestEmbedded:
    """Without ``--url``: Echo."""

    def test_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A table tells how it went, on standard output; standard error stays quiet."""
        assert main(["rollout", "--episodes", "8", "--concurrency", "4", "--steps", "5"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        rows = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines())
        assert list(rows) == [
            "service",
            "episodes",
            "endings",
            "steps",
            "steps/s",
            "step latency",
            "mean return",
            "errors",
        ]
        assert rows["service"] == "echo_env, embedded"
        assert (rows["episodes"], rows["endings"]) == ("8", "steps 8")
        assert re.fullmatch(r"40 in [\d.]+ s", rows["steps"])
        assert re.fullmatch(r"p50 \S+ ms   p95 \S+ ms   p99 \S+ ms", rows["step latency"])
        assert float(rows["mean return"]) > 0
        assert rows["errors"] == "none"

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """With ``--json`` the same is one object on one line."""
        code, report = run_json(capsys, "--episodes", 8, "--concurrency", 4, "--steps", 5)
        assert code == 0
        latency = report.pop("step_latency_ms")
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
        assert report["wall_s"] > 0
        assert report["steps_per_s"] == pytest.approx(40 / report["wall_s"], rel=1e-3)
        assert report.keys() == {
            "episodes",
            "steps",
            "wall_s",
            "steps_per_s",
            "mean_return",
            "endings",
            "errors",
            "retries",
        }
        assert (report["episodes"], report["steps"], report["retries"]) == (8, 40, 0)
        assert report["mean_return"] > 0
        assert (report["endings"], report["errors"]) == ({"steps": 8}, {})

    def test_256_episodes_at_a_time(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What `make demo` plays goes well."""
        code, report = run_json(capsys, "--episodes", 256, "--concurrency", 256, "--steps", 20)
        assert code == 0
        assert (report["episodes"], report["steps"], report["errors"]) == (256, 5120, {})

    def test_runs_are_reproducible(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The same seed plays the same episodes, another seed others."""
        written = {}
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            run_json(capsys, "--episodes", 6, "--steps", 3, "--seed", seed, "--out", name)
            lines = [loads(line) for line in (folder / name).read_bytes().splitlines()]
            lines.sort(key=lambda line: line["episode"])
            written[name] = [(line["seed"], line["steps"]) for line in lines]
        assert written["a"] == written["b"]
        assert written["a"] != written["c"]
        assert [seed for seed, _ in written["a"]] == [1, 2, 3, 4, 5, 6]

    def test_no_steps(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Episodes without a single step have no latencies, and that is no failure."""
        code, report = run_json(capsys, "--episodes", 2, "--steps", 0)
        assert code == 0
        assert report["step_latency_ms"] == {"p50": None, "p95": None, "p99": None}
        assert report["mean_return"] == 0.0
        assert main(["rollout", "--episodes", "2", "--steps", "0"]) == 0
        assert "p50 -   p95 -   p99 -" in capsys.readouterr().out


class TestService:
    """With ``--url``: a service in another process."""

    def test_service_is_played(self, world: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Random actions come from the service's own schema."""
        code, report = run_json(capsys, "--url", world, "--episodes", 9, "--concurrency", 3)
        assert code == 0
        assert (report["episodes"], report["mean_return"], report["errors"]) == (9, 20.0, {})

    @pytest.mark.parametrize("wait_s", [0, 20])
    def test_fewer_sessions_than_asked(
        self, world: str, capsys: pytest.CaptureFixture[str], wait_s: int
    ) -> None:
        """A service with fewer sessions than the concurrency plays all episodes all the same."""
        code, report = run_json(
            capsys,
            *("--url", world, "--episodes", 40, "--concurrency", 20, "--steps", 5),
            *("--capacity-timeout-s", wait_s),
        )
        assert code == 0
        assert (report["episodes"], report["steps"], report["errors"]) == (40, 200, {})

    def test_trajectories_are_written(
        self, world: str, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With ``--out`` each trajectory is one line of JSON."""
        argv = ["--url", world, "--policy", "agent:end", "--episodes", "5", "--out", "t.jsonl"]
        assert main(["rollout", *argv]) == 0
        lines = [loads(line) for line in (folder / "t.jsonl").read_bytes().splitlines()]
        assert sorted(line["episode"] for line in lines) == [0, 1, 2, 3, 4]
        for line in lines:
            assert line["seed"] == line["episode"]
            assert (line["ending"], line["length"], line["total_reward"]) == ("done", 1, 1.0)
            (step,) = line["steps"]
            assert step["action"] == {"do": "end"}
            assert step["done"] is True

    def test_failing_environment(self, world: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Failed episodes are counted by kind, shown with a message, and make exit code 1."""
        argv = ["--url", world, "--policy", "agent:fail", "--episodes", "6", "--steps", "2"]
        code, report = run_json(capsys, *argv)
        assert code == 1
        assert report["errors"] == {"EnvironmentFailed": 3}
        assert report["mean_return"] == 2.0
        assert main(["rollout", *argv]) == 1
        last = capsys.readouterr().out.splitlines()[-1]
        assert re.match(r"errors +3 EnvironmentFailed: .*it broke", last)

    def test_failing_policy(self, world: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A policy that raises fails its episodes, and is told apart from the environment."""
        argv = ["--url", world, "--policy", "agent:stumble", "--episodes", 2]
        code, report = run_json(capsys, *argv)
        assert code == 1
        assert report["errors"] == {"PolicyFailed": 2}
        assert report["mean_return"] is None

    def test_service_that_is_killed(
        self,
        start: Start,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """When the service is killed, the rollout ends and tells what failed; exit code 1."""
        program = start("serve", "worlds:app", "--port", 0)
        url = program.wait_address(DEADLINE_S)
        monkeypatch.setenv("VICTIM", str(program.pid))
        code, report = run_json(
            capsys,
            *("--url", url, "--policy", "agent:kill", "--episodes", 12, "--concurrency", 2),
        )
        assert code == 1
        assert report["episodes"] == 12
        assert report["errors"].keys() == {"ConnectionFailed"}
        assert report["errors"]["ConnectionFailed"] >= 10
        assert report["retries"] >= 20

    @pytest.mark.parametrize("policy", [[], ["--policy", "agent:say"]])
    def test_nobody_there(
        self, unused_port: int, capsys: pytest.CaptureFixture[str], policy: list[str]
    ) -> None:
        """Where nobody listens, one line says so at once, with the way out; exit code 1."""
        assert main(["rollout", "--url", f"http://127.0.0.1:{unused_port}", *policy]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"Error: cannot connect to http://127.0.0.1:{unused_port}/")
        assert err.endswith("is it running? `aioenv serve` in its folder starts one\n")
        assert len(err.splitlines()) == 1

    @pytest.mark.parametrize("policy", [[], ["--policy", "agent:say"]])
    def test_token(
        self, start: Start, capsys: pytest.CaptureFixture[str], policy: list[str]
    ) -> None:
        """A service's token is sent with ``--header``; without it, one line says how."""
        program = start("serve", "worlds:app", "--port", 0, "--token", "sesame")
        argv = ["--url", program.wait_address(DEADLINE_S), "--episodes", "2", *policy]
        assert main(["rollout", *argv]) == 1
        assert "401 Unauthorized; pass its token with --header" in capsys.readouterr().err
        code, report = run_json(capsys, *argv, "--header", "Authorization: Bearer sesame")
        assert (code, report["episodes"]) == (0, 2)


class TestOut:
    """Files that cannot be written."""

    def test_file_that_cannot_be_made(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A file that cannot be opened is told in one line before anything is played."""
        assert main(["rollout", "--out", "no/such/folder.jsonl"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err == "Error: cannot write no/such/folder.jsonl: No such file or directory\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_disk_that_is_full(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A disk that is full ends the rollout with one line."""
        assert main(["rollout", "--out", "/dev/full"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err == "Error: cannot write /dev/full: No space left on device\n"


class TestInterruption:
    """Ctrl-C."""

    def test_ctrl_c_ends_it_in_order(
        self, start: Start, world: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The first Ctrl-C closes every session, tells what there is so far; exit code 130."""
        program = start(
            *("rollout", "--url", world, "--policy", "agent:hang", "--episodes", 9),
            *("--concurrency", 3, "--json"),
        )
        program.wait_line("hanging", DEADLINE_S)
        program.signal(signal.SIGINT)
        assert program.wait() == 130
        program.stop()  # its streams are read to the end
        (report,) = re.findall(r"^\{.*\}$", program.output, re.MULTILINE)
        assert loads(report)["episodes"] == 0
        assert "Closing the sessions; Ctrl-C again ends at once." in program.output
        assert "Interrupted after 0 of 9 episodes." in program.output
        assert "Traceback" not in program.output
        code, after = run_json(
            capsys, "--url", world, "--policy", "agent:say", "--episodes", 3, "--concurrency", 3
        )
        assert (code, after["retries"]) == (0, 0)


class TestLatencies:
    """The figures of the report."""

    def test_percentiles_are_right_to_a_percent(self) -> None:
        """Percentiles are those of all latencies, to 1 %, without keeping each of them."""
        from array import array

        latencies = Latencies()
        assert latencies.percentile_s(50) is None
        for start in range(0, 100_000, 1000):
            latencies.add(array("d", (n / 1000 for n in range(start + 1, start + 1001))))
        assert len(latencies) == 100_000
        assert len(latencies._counts) < 1500
        for percent in (50, 95, 99):
            assert latencies.percentile_s(percent) == pytest.approx(percent, rel=0.01)
