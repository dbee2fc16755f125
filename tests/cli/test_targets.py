"""Targets: each form that `serve` and `--policy` take, and each way it can be wrong."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aioenv.cli import main
from aioenv.cli.targets import load_application, load_policy
from aioenv.service import SERVICE


def test_module_and_attribute(folder: Path) -> None:
    """``module:attribute`` is found in the current folder, dots included."""
    assert load_application("worlds:app").app[SERVICE].name == "world"
    assert load_application("worlds:nested.app").app is load_application("worlds:app").app
    assert load_application("worlds:app").port is None


def test_folder_with_a_manifest(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder's manifest names the application, found in that folder, and the port."""
    (folder / "openenv.yaml").write_text("name: world\napp: worlds:app\nport: 8123\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        target = load_application(str(folder))
    assert target.app[SERVICE].name == "world"
    assert target.port == 8123
    (folder / "openenv.yaml").write_text("app: worlds:app\n")
    assert load_application(".").port is None


def test_another_module_of_that_name_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is served is the folder's own, and never what has been imported under its name."""
    (folder / "click.py").write_text((folder / "worlds.py").read_text())
    (folder / "openenv.yaml").write_text("name: x\napp: click:app\n")
    assert main(["serve"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: click is not click.py, but /")
    assert err.endswith("comes first on Python's path; give yours another name\n")


def test_folder_may_have_an_echo_env_of_its_own(
    folder: Path, finish: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    """The command line itself has not imported the one that is installed with it."""
    (folder / "worlds.py").rename(folder / "echo_env.py")
    (folder / "openenv.yaml").write_text("spec_version: 1\nname: x\napp: echo_env:nope\n")
    assert finish("serve").stderr == "Error: echo_env has no 'nope'\n"


def test_our_own_manifest_serves_echo() -> None:
    """The repository is such a folder: it serves Echo."""
    target = load_application(str(Path(__file__).parents[2]))
    assert target.app[SERVICE].name == "echo_env"
    assert target.port == 8000


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere", "'nowhere' is neither a folder nor module:attribute, such as echo_env"),
        (".", "there is no openenv.yaml in "),
        ("worlds:", "'worlds:' is not module:attribute"),
        (":app", "':app' is not module:attribute"),
        ("worlds.py", "'worlds.py' names a file; name the module, in its folder: worlds:app"),
        ("./sub/worlds.py:it", "names a file; name the module, in its folder: worlds:it"),
        ("wolrds:app", "there is no module 'wolrds', neither in "),
        ("worlds.sub:app", "there is no module 'worlds.sub', neither in "),
        ("worlds:ap", "worlds has no 'ap'; did you mean 'app'?"),
        ("worlds:app.x.y", "worlds has no 'app.x.y'"),
        ("worlds:number", "worlds:number is of type int, not an application that"),
        ("worlds:World", "worlds:World is an environment, not an application that aioenv.service"),
        ("worlds:instance", "worlds:instance is an environment, not an application"),
        ("worlds:Act", "worlds:Act is the class Act, not an application"),
        ("broken:app", "broken cannot be imported: ValueError: no luck"),
        ("misspelt:app", "misspelt cannot be imported: SyntaxError"),
        ("needy:app", "needy cannot be imported: No module named 'numpie'; is it installed?"),
        ("aiohttp.web:Application", "is the class Application, not an application"),
    ],
)
def test_wrong_target_is_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], target: str, message: str
) -> None:
    """A target that cannot be served is told in one line, with exit code 1."""
    (folder / "broken.py").write_text("raise ValueError('no luck')\n")
    (folder / "misspelt.py").write_text("app = = 3\n")
    (folder / "needy.py").write_text("import numpie\n")
    assert main(["serve", target]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("name: world\n", "does not name its application; add: app: module:attribute"),
        ("- 1\n", "holds no entries"),
        ("app: 3\n", "does not name its application"),
        ("app: [\n", "openenv.yaml cannot be read: while parsing"),
        ("app: a:b\nversion: 2024-13-01\n", "openenv.yaml cannot be read: month must be in 1..12"),
        ("app: worlds:app\nport: high\n", "names the port 'high', which is no number up to 65535"),
        ("app: worlds:app\nport: 70000\n", "names the port 70000"),
        ("app: worlds\n", "'worlds' is not module:attribute"),
    ],
)
def test_wrong_manifest_is_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], manifest: str, message: str
) -> None:
    """A manifest that cannot be used is told in one line, with exit code 1."""
    (folder / "openenv.yaml").write_text(manifest)
    assert main(["serve"]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_wrong_variable_is_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting's variable that does not fit is named."""
    monkeypatch.setenv("MAX_CONCURRENT_ENVS", "many")
    assert main(["serve", "worlds:app"]) == 1
    err = capsys.readouterr().err
    assert "MAX_CONCURRENT_ENVS='many' does not fit" in err
    assert len(err.splitlines()) == 1


def test_policy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy is any callable; anything else is refused in one line."""
    (folder / "agent.py").write_text("def act(result, episode): return {}\nnothing = None\n")
    assert callable(load_policy("agent:act"))
    assert main(["rollout", "--policy", "agent:nothing"]) == 1
    assert "agent:nothing is of type NoneType, not a policy" in capsys.readouterr().err
    assert main(["rollout", "--policy", "agent"]) == 1
    assert "'agent' is not module:attribute, such as agent:act" in capsys.readouterr().err
    assert main(["rollout", "--policy", "./agent.py"]) == 1
    assert "names a file; name the module, in its folder: agent:act" in capsys.readouterr().err
