"""``aioenv push``, as a process, against a Hub on loopback that it takes for the real one."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml

from aioenv.cli.push import PACKAGES
from tests.hub.hub import Hub
from tests.hub.pushing import READER, TOKEN, Push, hub_variables
from tests.hub.terminal import Terminal

#: Of a size that the Hub keeps apart, and of a kind that nothing compresses.
LARGE = random.Random(7).randbytes(200_000)


def card_of(readme: bytes) -> dict[str, object]:
    """Read a README's front matter."""
    _, matter, _ = readme.decode().split("---\n", 2)
    card: dict[str, object] = yaml.safe_load(matter)
    return card


def content_of(folder: Path) -> dict[str, bytes]:
    """Read every file of a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Spaces


def test_new_space(hub: Hub, push: Push, environment_folder: Path) -> None:
    """A first push makes a Docker Space of the manifest's name, and ends with its address."""
    before = content_of(environment_folder)
    pushed = push()
    assert pushed.code == 0, pushed.err
    assert pushed.out == f"{hub.url}/spaces/ada/my_env\n"
    space = hub.spaces["ada/my_env"]
    assert (space.sdk, space.is_private, space.hardware) == ("docker", False, None)
    assert space.files["app.py"] == b"print('Hi')\n"
    assert space.files["Dockerfile"].endswith(b"\nENV ENABLE_WEB_INTERFACE=true\n")
    assert space.files["README.md"].endswith(b"---\n\n# Mine\n")
    assert card_of(space.files["README.md"]) == {
        "title": "My Env Environment Server",
        "emoji": "🌍",
        "colorFrom": "blue",
        "colorTo": "indigo",
        "sdk": "docker",
        "pinned": False,
        "app_port": 8000,
        "base_path": "/web",
        "tags": ["openenv"],
    }
    assert "uploading 4 files" in pushed.err
    assert content_of(environment_folder) == before


def test_existing_space(hub: Hub, push: Push, environment_folder: Path) -> None:
    """A second push updates the Space, in one commit, and leaves other files of it alone."""
    hub.add_space("ada/my_env").files["old.txt"] = b"old"
    assert push().code == 0
    (environment_folder / "app.py").write_text("print('Ho')\n")
    assert push("--env-var", "A=1").code == 0
    space = hub.spaces["ada/my_env"]
    assert len(space.commits) == 3
    assert space.files["app.py"] == b"print('Ho')\n"
    assert space.files["old.txt"] == b"old"
    assert space.variables == {"A": "1"}
    assert ".gitattributes" in space.files


def test_deletes_what_is_asked_for(hub: Hub, push: Push) -> None:
    """Patterns delete files of the Space, but none that is uploaded, nor the Hub's own."""
    files = hub.add_space("ada/my_env").files
    files |= {"old/a.txt": b"", "app.py": b"", "old.py": b""}
    assert push("--delete", "old/*", "--delete", "*.py").code == 0
    left = hub.spaces["ada/my_env"].files
    assert set(left) == {".gitattributes", "README.md", "Dockerfile", "app.py", "openenv.yaml"}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--repo-id", "my-org/other"], "my-org/other"),
        (["-r", "other"], "ada/other"),
        (["--namespace", "my-org"], "my-org/my_env"),
        (["--namespace", "my-org", "-r", "other"], "my-org/other"),
        (["-d", "."], "ada/my_env"),
        (["."], "ada/my_env"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_name_of_the_space(hub: Hub, push: Push, arguments: list[str], name: str) -> None:
    """The options name the Space, its owner, or the folder."""
    pushed = push(*arguments)
    assert pushed.code == 0, pushed.err
    assert list(hub.spaces) == [name]


def test_private(hub: Hub, push: Push) -> None:
    """A new Space is private from the start, and an existing one before anything is uploaded."""
    hub.add_space("ada/public")
    assert push("--private").code == 0
    assert hub.spaces["ada/my_env"].is_private
    assert push().code == 0
    assert hub.spaces["ada/my_env"].is_private
    assert push("--private", "-r", "public").code == 0
    assert hub.spaces["ada/public"].is_private
    settings = hub.requests.index("PUT /api/spaces/ada/public/settings")
    assert settings < hub.requests.index("POST /api/spaces/ada/public/commit/main")


def test_settings_are_there_before_the_first_build(
    hub: Hub, push: Push, environment_folder: Path
) -> None:
    """A new Space has its variables, secrets and hardware before its files; nothing is printed."""
    with (environment_folder / "openenv.yaml").open("a") as manifest:
        manifest.write("variables: {MAX_STEPS: 100, GAME: chess, FAST: true}\n")
    options = ["-e", "GAME=go=1", "--secret", "KEY=se=cret-1", "--secret", "OTHER"]
    pushed = push(*options, "--hardware", "t4-small", OTHER="secret-2")
    assert pushed.code == 0, pushed.err
    space = hub.spaces["ada/my_env"]
    assert space.variables == {"MAX_STEPS": "100", "GAME": "go=1", "FAST": "true"}
    assert space.secrets == {"KEY": "se=cret-1", "OTHER": "secret-2"}
    assert space.hardware == "t4-small"
    assert not any(request.endswith("/secrets") for request in hub.requests)
    assert "set the secrets KEY, OTHER" in pushed.err


def test_settings_of_an_existing_space(hub: Hub, push: Push) -> None:
    """An existing Space is set anew, one setting at a time."""
    hub.add_space("ada/my_env").variables["KEPT"] = "1"
    assert push("-e", "A=2", "--secret", "KEY=secret-3", "-H", "cpu-upgrade").code == 0
    space = hub.spaces["ada/my_env"]
    assert space.variables == {"KEPT": "1", "A": "2"}
    assert (space.secrets, space.hardware) == ({"KEY": "secret-3"}, "cpu-upgrade")


def test_pull_request(hub: Hub, push: Push, environment_folder: Path) -> None:
    """A pull request proposes the files to somebody's Space, and ends with its own address."""
    (environment_folder / "weights.bin").write_bytes(LARGE)
    before = dict(hub.add_space("grace/theirs").files)
    pushed = push("--create-pr", "--repo-id", "grace/theirs")
    assert pushed.code == 0, pushed.err
    assert pushed.out == f"{hub.url}/spaces/grace/theirs/discussions/1\n"
    space = hub.spaces["grace/theirs"]
    assert space.files == before
    assert space.pull_requests[0].files["app.py"] == b"print('Hi')\n"
    assert space.pull_requests[0].files["weights.bin"] == LARGE


def test_pull_request_needs_a_space(push: Push) -> None:
    """Where there is no Space, there is nothing to propose to."""
    pushed = push("--create-pr")
    assert (pushed.code, pushed.out) == (1, "")
    assert "there is no such Space" in pushed.err.splitlines()[-1]


@pytest.mark.parametrize("without_xet", ["", "1"], ids=["xet", "lfs"])
def test_large_files(hub: Hub, push: Push, environment_folder: Path, without_xet: str) -> None:
    """Large files arrive, by either of the ways that the Hub's client knows."""
    (environment_folder / "weights.bin").write_bytes(LARGE)
    pushed = push(HF_HUB_DISABLE_XET=without_xet)
    assert pushed.code == 0, pushed.err
    assert hub.spaces["ada/my_env"].files["weights.bin"] == LARGE
    ways = {"xet": "POST /v1/xorbs", "lfs": "PUT /lfs"}
    used = [way for way, start in ways.items() if any(r.startswith(start) for r in hub.requests)]
    assert used == ["lfs" if without_xet else "xet"]


# What goes wrong


def refused(push: Push, *arguments: object, **environment: str | None) -> str:
    """Push, expecting an error, and return its one line."""
    pushed = push(*arguments, **environment)
    assert pushed.code == 1
    assert pushed.out == ""
    assert "Traceback" not in pushed.err
    line = pushed.err.splitlines()[-1]
    assert line.startswith("Error: ")
    return line


def test_not_logged_in(hub: Hub, push: Push) -> None:
    """Without a token and without a terminal, the way to log in is told."""
    line = refused(push, HF_TOKEN=None)
    assert line.startswith("Error: you are not logged in to Hugging Face; log in with `hf auth ")
    assert hub.spaces == {}


def test_bad_token(hub: Hub, push: Push) -> None:
    """A token that the Hub does not know is told as such, without its text."""
    bad = "hf_" + "x" * 34
    line = refused(push, HF_TOKEN=bad)
    assert "the Hub does not accept the token of HF_TOKEN" in line
    assert bad not in line
    assert hub.spaces == {}


@pytest.mark.parametrize(
    ("token", "options"),
    [(TOKEN, ["--namespace", "grace"]), (READER, [])],
    ids=["namespace", "read-only token"],
)
def test_no_right_to_the_namespace(hub: Hub, push: Push, token: str, options: list[str]) -> None:
    """Whoever may not write is told so, in the Hub's words, with what to do."""
    line = refused(push, *options, HF_TOKEN=token)
    assert "you may not do that (You don't have the rights to create a space" in line
    assert "--namespace" in line
    assert hub.spaces == {}


def test_no_right_to_an_existing_space(hub: Hub, push: Push) -> None:
    """Somebody else's Space stays as it is."""
    before = dict(hub.add_space("grace/theirs").files)
    assert "you may not do that" in refused(push, "-r", "grace/theirs")
    assert hub.spaces["grace/theirs"].files == before


def test_connection_cut_in_mid_upload(hub: Hub, push: Push) -> None:
    """A commit that is cut off changes nothing, is told, and can be tried again."""
    hub.faults.cut_commits = 1
    line = refused(push)
    assert "uploading to ada/my_env failed, because the connection to" in line
    assert "either all files have arrived or none has, and pushing again is safe" in line
    assert "app.py" not in hub.spaces["ada/my_env"].files
    assert push().code == 0
    assert "app.py" in hub.spaces["ada/my_env"].files


def test_connection_cut_amid_a_large_file(hub: Hub, push: Push, environment_folder: Path) -> None:
    """A large file that never gets through is told, and can be tried again."""
    (environment_folder / "weights.bin").write_bytes(LARGE)
    hub.faults.cut_uploads = 1000
    line = refused(push, HF_XET_CLIENT_RETRY_MAX_ATTEMPTS="1")
    assert "uploading to ada/my_env failed, because the connection to" in line
    hub.faults.cut_uploads = 0
    assert push().code == 0
    assert hub.spaces["ada/my_env"].files["weights.bin"] == LARGE


def test_one_cut_amid_a_large_file_is_mended(
    hub: Hub, push: Push, environment_folder: Path
) -> None:
    """A large file whose first try is cut off gets through at the second, without a word of us."""
    (environment_folder / "weights.bin").write_bytes(LARGE)
    hub.faults.cut_uploads = 1
    assert push(HF_HUB_DISABLE_XET="1").code == 0
    assert hub.spaces["ada/my_env"].files["weights.bin"] == LARGE


def test_hub_is_not_there(push: Push, unused_port: int) -> None:
    """A Hub that does not answer is told with its address."""
    line = refused(push, HF_ENDPOINT=f"http://127.0.0.1:{unused_port}")
    assert f"the connection to http://127.0.0.1:{unused_port} did" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hardware", "abacus"], "the Hub answered 400 (Invalid hardware flavor 'abacus'"),
        (["-r", "ada/no name"], "no name"),
        (["-r", "ada/a/b"], "a/b"),
    ],
    ids=["hardware", "name", "path"],
)
def test_hub_refuses(push: Push, options: list[str], message: str) -> None:
    """What the Hub or its client does not take is told in their words."""
    assert message in refused(push, *options)


def test_card_that_the_hub_refuses(push: Push, environment_folder: Path) -> None:
    """Front matter with a fault is told before anything is uploaded."""
    (environment_folder / "README.md").write_text("---\ncolorFrom: mauve\n---\n")
    assert '"colorFrom" must be one of' in refused(push)


# Secrets


def test_secret_in_the_folder(hub: Hub, push: Push, environment_folder: Path) -> None:
    """Nothing that is secret arrives; what stays is told, with the reason, but never shown."""
    key = "sk-" + "ant-" + "key" * 10
    (environment_folder / ".env").write_text(f"KEY={key}\n")
    (environment_folder / "server.pem").write_text("anything\n")
    (environment_folder / "notes.txt").write_text(f"one\nthe key is {key}\n")
    (environment_folder / ".git").mkdir()
    (environment_folder / ".git" / "config").write_text("x")
    pushed = push()
    assert pushed.code == 0, pushed.err
    files = hub.spaces["ada/my_env"].files
    assert set(files) == {".gitattributes", "README.md", "Dockerfile", "app.py", "openenv.yaml"}
    assert key not in pushed.err
    assert "left out: notes.txt (holds an Anthropic key in line 2)" in pushed.err
    assert "left out: .env (may hold secrets)" in pushed.err
    assert "left out: server.pem (a key)" in pushed.err
    assert "left out: .git/ (version control)" in pushed.err


def test_secret_in_the_code(hub: Hub, push: Push, environment_folder: Path) -> None:
    """Code with a token in it is not pushed without it, and nothing is uploaded."""
    token = "ghp_" + "gh" * 18
    (environment_folder / "app.py").write_text(f"import os\n\nTOKEN = '{token}'\n")
    line = refused(push)
    assert "app.py, line 3, holds a GitHub token" in line
    assert "--secret" in line
    assert token not in line
    assert hub.requests == []


@pytest.mark.parametrize(
    "arguments",
    [["--secret", "se-cret-4"], ["--secret", "=se-cret-4"], ["--env-var", "se-cret-4"]],
    ids=lambda value: value[1].replace("se-cret-4", "x") + value[0],
)
def test_wrong_pair_is_not_repeated(push: Push, arguments: list[str]) -> None:
    """What is no NAME=VALUE may be a secret, and is not shown."""
    pushed = push(*arguments)
    assert pushed.code == 2
    assert "expected NAME=VALUE" in pushed.err
    assert "se-cret-4" not in pushed.err


@pytest.mark.parametrize("value", ["secret-5", "secret\n5"], ids=["plain", "escaped"])
def test_debug_shows_no_secret(hub: Hub, push: Push, value: str) -> None:
    """Neither an error nor its traceback repeats one that the Hub repeats, nor the token."""
    hub.add_space("ada/my_env")
    hub.faults.repeat_secrets = 1
    pushed = push("--debug", "--secret", f"KEY={value}")
    assert pushed.code == 1
    assert "Traceback" in pushed.err
    assert "Invalid secret" in pushed.err
    assert not [text for text in (value, repr(value)[1:-1], TOKEN) if text in pushed.err]
    assert pushed.err.splitlines()[-1].endswith("'***'} of Bearer ***)")


# Without a push


def test_dry_run(hub: Hub, push: Push, environment_folder: Path) -> None:
    """A dry run tells every file and change, and asks nobody."""
    (environment_folder / ".env").write_text("KEY=1\n")
    pushed = push("--dry-run", "-e", "A=1", "--secret", "KEY=secret-6", HF_TOKEN=None)
    assert pushed.code == 0, pushed.err
    assert pushed.out.splitlines() == [
        "changed   Dockerfile",
        "changed   README.md",
        "as it is  app.py",
        "as it is  openenv.yaml",
        "change    Dockerfile: the web interface is switched on",
        "change    README.md: added front matter",
        "variable  A",
        "secret    KEY",
        "4 files (0.3 kB) would go to the Space <you>/my_env; nothing was uploaded",
    ]
    assert pushed.err == "left out: .env (may hold secrets)\n"
    assert hub.requests == []


def test_dry_run_of_an_image(push: Push) -> None:
    """A dry run tells what the image would be called, and refuses what it cannot be."""
    pushed = push("--dry-run", "--registry", "https://ghcr.io/my-org/")
    assert pushed.code == 0, pushed.err
    told = "would go to the image ghcr.io/my-org/my-env:latest; nothing was uploaded\n"
    assert pushed.out.endswith(told)
    line = refused(push, "--dry-run", "--registry", "ghcr.io/My-Org")
    assert "'ghcr.io/My-Org/my-env' cannot be the name of an image" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "-d", "b"], "name one folder, not both a and b"),
        (["my-org/my-env"], "there is no folder 'my-org/my-env'; a Space is named with --repo-id"),
        (["-r", "a/b", "--namespace", "c"], "--repo-id and --namespace name two owners, a and c"),
        (["--create-pr", "--private"], "--private cannot be used: --create-pr proposes files"),
        (["--create-pr", "--secret", "A=1"], "--secret cannot be used: --create-pr"),
        (["--registry", "x.io/y", "-e", "A=1"], "--env-var cannot be used: --registry pushes"),
        (["--registry", "x.io/y", "-r", "a/b"], "--repo-id cannot be used: --registry pushes"),
    ],
    ids=range(7),
)
def test_contradictions(push: Push, arguments: list[str], message: str) -> None:
    """Options that would have no effect are refused, as wrong usage."""
    pushed = push(*arguments)
    assert (pushed.code, pushed.out) == (2, "")
    assert message in pushed.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("openenv.yaml", None, "there is no openenv.yaml in "),
        ("openenv.yaml", "app: a:b\n", "does not say what it is called; add: name: my_env"),
        ("openenv.yaml", "- 1\n", "holds no entries"),
        ("openenv.yaml", "name: x\nvariables: [A]\n", "have no names"),
        ("openenv.yaml", "name: x\ndockerfile: docker/Dockerfile\n", "expected docker/Dockerfile"),
        ("Dockerfile", None, "there is no Dockerfile, and a Space is built from one"),
        ("README.md", "---\nsdk: gradio\n---\n", "change its front matter to: sdk: docker"),
        ("README.md", "---\n: [\n---\n", "the front matter of README.md cannot be read"),
        ("README.md", "---\ndate: 2024-13-01\n---\n", "README.md cannot be read: month must be in"),
    ],
    ids=range(9),
)
def test_no_environment(
    push: Push, environment_folder: Path, name: str, text: str | None, message: str
) -> None:
    """A folder that is no environment, or cannot be a Space, is told what it lacks."""
    if text is None:
        (environment_folder / name).unlink()
    else:
        (environment_folder / name).write_text(text)
    assert message in refused(push)


def test_packages_are_those_of_the_extra() -> None:
    """What the command asks for is what the extra ``push`` installs."""
    asked = {f'{name}>={least}; extra == "push"' for name, least in PACKAGES.items()}
    assert {text for text in requires("aioenv") or () if '"push"' in text} == asked


def test_packages_are_missing(environment_folder: Path, tmp_path: Path) -> None:
    """Without the extra's packages, or with ones too old, one line tells how to install them."""
    old = tmp_path / "huggingface_hub-1.9.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: huggingface_hub\nVersion: 1.9\n")
    # What is imported at start-up bars the other, as if it were not installed.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        "find = m.Distribution.from_name\n"
        "def bar(name):\n"
        "    if name == 'pathspec':\n"
        "        raise m.PackageNotFoundError(name)\n"
        "    return find(name)\n"
        "m.Distribution.from_name = bar\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "aioenv.cli", "push", str(environment_folder)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: `push` needs huggingface_hub>=2 (and finds 1.9) and pathspec>=1; install what it "
        "needs with: pip install 'aioenv[push]'\n"
    )


# On a terminal


def test_asks_to_log_in_on_a_terminal(hub: Hub, environment_folder: Path, tmp_path: Path) -> None:
    """On a terminal, whoever is not logged in is asked to, and the push goes on; once for all."""
    command = [sys.executable, "-m", "aioenv.cli", "push"]
    variables = hub_variables(hub, tmp_path, HF_TOKEN=None, TERM="xterm")
    first = Terminal(command, environment_folder, variables)
    first.wait_text("Paste an access token")
    first.wait_keys()
    first.write("2")
    first.wait_text("Enter your token")
    first.write(f"{TOKEN}\n")
    assert first.wait() == 0, first.printed
    assert f"{hub.url}/spaces/ada/my_env" in first.printed
    assert TOKEN not in first.printed
    second = Terminal(command, environment_folder, variables)
    assert second.wait() == 0, second.printed
    assert "Enter your token" not in second.printed


def test_upload_shows_progress_on_a_terminal(
    hub: Hub, environment_folder: Path, tmp_path: Path
) -> None:
    """On a terminal, a large file's progress is shown, and then that all are committed."""
    (environment_folder / "weights.bin").write_bytes(LARGE)
    command = [sys.executable, "-m", "aioenv.cli", "push"]
    terminal = Terminal(command, environment_folder, hub_variables(hub, tmp_path, TERM="xterm"))
    assert terminal.wait() == 0, terminal.printed
    assert re.search(r"weights\.bin: 100%.*committing", terminal.printed, re.DOTALL)


def test_leaving_the_prompt_is_no_fault(hub: Hub, environment_folder: Path, tmp_path: Path) -> None:
    """Whoever ends the input where the token is asked for has left, as with Ctrl-C."""
    command = [sys.executable, "-m", "aioenv.cli", "push"]
    variables = hub_variables(hub, tmp_path, HF_TOKEN=None, TERM="xterm")
    terminal = Terminal(command, environment_folder, variables)
    terminal.wait_text("Paste an access token")
    terminal.wait_keys()
    terminal.write("2")
    terminal.wait_text("Enter your token")
    terminal.write("\x04")
    assert terminal.wait() == 130
    assert "connection" not in terminal.printed


# In the folder of somebody else's making


def test_layout_of_openenv(
    hub: Hub, push: Push, environment_folder: Path, make_layout: Callable[[Path], None]
) -> None:
    """An environment whose Dockerfile lies in ``server/`` has it at the top of its Space."""
    (environment_folder / "Dockerfile").unlink()
    make_layout(environment_folder)
    assert push("--base-image", "base:1").code == 0
    files = hub.spaces["ada/my_env"].files
    assert "server/Dockerfile" not in files
    assert b"ARG BASE_IMAGE=base:1\nFROM ${BASE_IMAGE} AS builder\n" in files["Dockerfile"]


@pytest.fixture
def make_layout() -> Callable[[Path], None]:
    """Give what puts a Dockerfile where OpenEnv's environments have it."""

    def make(folder: Path) -> None:
        (folder / "server").mkdir()
        (folder / "server" / "Dockerfile").write_text(
            "ARG BASE_IMAGE=ghcr.io/x/base:latest\nFROM ${BASE_IMAGE} AS builder\nCOPY . /app\n"
            "FROM ${BASE_IMAGE}\nCOPY --from=builder /app /app\nCMD python /app/app.py\n"
        )

    return make
