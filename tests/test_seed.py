"""The seed's examples, as they stand, against a live server.

Each script is a block of the seed with its placeholders filled in; nothing but the address of the
server, or the name of the image, is changed.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.hub import Hub
from tests.hub.pushing import hub_variables, script_path
from tests.peer.process import LineProcess

ROOT = Path(__file__).parent.parent

QUICK_START = """
from echo_env import EchoAction, EchoEnv

try:
    # Create environment from Docker image
    echo_envenv = EchoEnv.from_docker_image("echo_env-env:latest")

    # Reset
    result = echo_envenv.reset()
    print(f"Reset: {result.observation.echoed_message}")

    # Send multiple messages
    messages = ["Hello, World!", "Testing echo", "Final message"]

    for msg in messages:
        result = echo_envenv.step(EchoAction(message=msg))
        print(f"Sent: '{msg}'")
        print(f"  → Echoed: '{result.observation.echoed_message}'")
        print(f"  → Length: {result.observation.message_length}")
        print(f"  → Reward: {result.reward}")

finally:
    # Always clean up
    echo_envenv.close()
"""

EXISTING_SERVER = """
from echo_env import EchoAction, EchoEnv

# Connect to existing server
echo_envenv = EchoEnv(base_url="<ENV_HTTP_URL_HERE>")

# Use as normal
result = echo_envenv.reset()
result = echo_envenv.step(EchoAction(message="Hello!"))
"""

CONTEXT_MANAGER = """
from echo_env import EchoAction, EchoEnv

# Connect with context manager (auto-connects and closes)
with EchoEnv(base_url="http://localhost:8000") as env:
    result = env.reset()
    print(f"Reset: {result.observation.echoed_message}")
    # Multiple steps with low latency
    for msg in ["Hello", "World", "!"]:
        result = env.step(EchoAction(message=msg))
        print(f"Echoed: {result.observation.echoed_message}")
"""

FACTORY_MODE = """
# In server/app.py - use factory mode for concurrent sessions
app = create_app(
    EchoEnvironment,  # Pass class, not instance
    EchoAction,
    EchoObservation,
    max_concurrent_envs=4,  # Allow 4 concurrent sessions
)
"""

CONCURRENT_SESSIONS = """
from echo_env import EchoAction, EchoEnv
from concurrent.futures import ThreadPoolExecutor

def run_episode(client_id: int):
    with EchoEnv(base_url="http://localhost:8000") as env:
        result = env.reset()
        for i in range(10):
            result = env.step(EchoAction(message=f"Client {client_id}, step {i}"))
        return client_id, result.observation.message_length

# Run 4 episodes concurrently
with ThreadPoolExecutor(max_workers=4) as executor:
    results = list(executor.map(run_episode, range(4)))
"""


# The blocks of "Deploying to Hugging Face Spaces", line by line, and the Space of each.
PUSHES = {
    "openenv push": "ada/echo_env",
    "openenv push --namespace my-org --private": "my-org/echo_env",
    "openenv push --repo-id my-org/my-env": "my-org/my-env",
    "openenv push --base-image ghcr.io/meta-pytorch/openenv-base:latest": "ada/echo_env",
    "openenv push --private": "ada/echo_env",
    "openenv push --repo-id my-org/my-env --base-image custom-base:latest --private": (
        "my-org/my-env"
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve what the seed's ``server/app.py`` makes; returns the address."""
    script = tmp_path_factory.mktemp("server") / "app.py"
    script.write_text(
        "from aioenv.service import create_app, serve\n"
        "from echo_env import EchoAction, EchoObservation\n"
        "from echo_env.environment import EchoEnvironment\n"
        f"{FACTORY_MODE}\n"
        "serve(app)\n",
        "utf-8",
    )
    with LineProcess([sys.executable, str(script)], environment={"AIOENV_PORT": "0"}) as process:
        yield process.wait_address(30)


def run(script: str, server: str, tmp_path: Path) -> str:
    """Run a script against the server and return what it prints; on standard error, it may not."""
    for address in ("http://localhost:8000", "<ENV_HTTP_URL_HERE>"):
        script = script.replace(address, server)
    path = tmp_path / "example.py"
    path.write_text(script, "utf-8")
    command = [sys.executable, "-W", "always", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


@pytest.mark.timeout(100, func_only=True)  # the fixture builds an image
def test_the_quick_start(echo_image: str, tmp_path: Path) -> None:
    """The first example of all starts a container, plays, and cleans up."""
    script = QUICK_START.replace("echo_env-env:latest", echo_image)
    assert run(script, "", tmp_path).splitlines() == [
        "Reset: Echo environment ready!",
        "Sent: 'Hello, World!'",
        "  → Echoed: 'Hello, World!'",
        "  → Length: 13",
        "  → Reward: 1.3",
        "Sent: 'Testing echo'",
        "  → Echoed: 'Testing echo'",
        "  → Length: 12",
        "  → Reward: 1.2000000000000002",
        "Sent: 'Final message'",
        "  → Echoed: 'Final message'",
        "  → Length: 13",
        "  → Reward: 1.3",
    ]


def test_connecting_to_an_existing_server(server: str, tmp_path: Path) -> None:
    """A client that is never closed plays, and the script ends by itself."""
    assert run(EXISTING_SERVER, server, tmp_path) == ""
    told = run(EXISTING_SERVER + "print(result.observation, result.reward)", server, tmp_path)
    assert "echoed_message='Hello!', message_length=6" in told
    assert told.rstrip().endswith("0.6000000000000001")


def test_using_the_context_manager(server: str, tmp_path: Path) -> None:
    """``with`` connects, plays and closes."""
    assert run(CONTEXT_MANAGER, server, tmp_path).splitlines() == [
        "Reset: Echo environment ready!",
        "Echoed: Hello",
        "Echoed: World",
        "Echoed: !",
    ]


def test_concurrent_sessions(server: str, tmp_path: Path) -> None:
    """Four threads play an episode each, at the same time, over and over."""
    for _ in range(3):
        told = run(CONCURRENT_SESSIONS + "print(results)", server, tmp_path)
        assert told == "[(0, 16), (1, 16), (2, 16), (3, 16)]\n"


def test_direct_environment_testing() -> None:
    """The environment's file can be run without a server."""
    from echo_env import environment

    command = [sys.executable, environment.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    for promise in ("reset:", "step:", "state:", "reward 1.3"):
        assert promise in done.stdout


@pytest.mark.timeout(180, func_only=True)
def test_deploying_to_hugging_face_spaces(hub: Hub, tmp_path: Path) -> None:
    """Each command of the seed pushes Echo, from this repository, as its options say."""
    for command, name in PUSHES.items():
        hub.spaces.clear()
        _, *arguments = command.split()
        done = subprocess.run(
            [script_path("openenv"), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
            env=hub_variables(hub, tmp_path),
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{hub.url}/spaces/{name}\n"
        space = hub.spaces[name]
        assert space.is_private is ("--private" in arguments)
        dockerfile = space.files["Dockerfile"].decode()
        assert "\nENV ENABLE_WEB_INTERFACE=true\n" in dockerfile
        if "--base-image" in arguments:
            image = arguments[arguments.index("--base-image") + 1]
            assert f"\nARG BASE_IMAGE={image}\n" in dockerfile
