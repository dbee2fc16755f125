"""Names of projects: what each becomes, and why others are refused."""

import pytest

from aioenv.cli import main
from aioenv.cli.names import ProjectName, image_name


@pytest.mark.parametrize(
    ("name", "prefix", "title", "image"),
    [
        ("word_game", "WordGame", "Word Game", "word-game"),
        ("chess", "Chess", "Chess", "chess"),
        ("game_2048", "Game2048", "Game 2048", "game-2048"),
        ("a", "A", "A", "a"),
        ("maze_env", "Maze", "Maze", "maze-env"),
        ("x2_y_3", "X2Y3", "X2 Y 3", "x2-y-3"),
    ],
)
def test_everything_is_called_after_the_name(
    name: str, prefix: str, title: str, image: str
) -> None:
    """Classes, title and image are derived from the name; a last ``_env`` is no part of a class."""
    project = ProjectName(name)
    assert (project.class_prefix, project.title, project.image) == (prefix, title, image)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Word-Game", "is no name for a Python package: it takes small letters, digits and single"),
        ("Word-Game", "did you mean 'word_game'?"),
        ("WordGame", "did you mean 'word_game'?"),
        ("word game", "did you mean 'word_game'?"),
        ("naïve_game", "did you mean 'naive_game'?"),
        ("2048", "did you mean 'env_2048'?"),
        ("_x", "did you mean 'x'?"),
        ("a__b", "did you mean 'a_b'?"),
        ("../evil", "did you mean 'evil'?"),
        ("", "with a letter first, such as word_game"),
        ("日本", "with a letter first, such as word_game"),
        ("Tests", "with a letter first, such as word_game"),
        ("a" * 65, "is longer than 64 characters"),
        ("class", "it is a word of Python's own; choose another, such as class_env"),
        ("random", "it is a module of Python's standard library, which it would hide"),
        ("openenv", "it is the package of OpenEnv"),
        ("tests", "a folder beside the package is called so"),
        ("wheels", "a folder beside the package is called so"),
        ("client", "any client.py that lies about would hide it"),
        ("service", "any service.py that lies about would hide it"),
        ("aioenv", "it is a package of aioenv, which is installed here"),
        ("echo_env", "choose another, such as my_echo_env"),
        ("pytest", "it is a package of pytest, which is installed here"),
    ],
)
def test_bad_name_is_refused_with_the_reason(
    name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that cannot be one, or is taken, is refused in one line that says why; exit code 2."""
    assert main(["init", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith(f"Error: Invalid value for 'NAME': {name!r} ")
    assert reason in line


@pytest.mark.parametrize(
    ("name", "image"), [("echo_env", "echo-env"), ("My Env", "my-env"), ("_x.", "x")]
)
def test_image_name_is_one_that_docker_takes(name: str, image: str) -> None:
    """Whatever an environment is called, its image's name has small letters, digits and dashes."""
    assert image_name(name) == image
