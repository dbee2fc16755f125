"""`aioenv init`: what it writes, where, and what it leaves alone."""

import re
import resource
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from e2b_dockerfile_utils import parse_dockerfile_ast

import aioenv
from aioenv.cli import main

ROOT = Path(__file__).parents[2]
FILES = {
    *(".dockerignore", ".gitignore", "Dockerfile", "Makefile", "README.md", "openenv.yaml"),
    *("pyproject.toml", "setup.cfg", "validation/runtime.json"),
    *("tests/test_environment.py", "tests/test_service.py"),
    *(f"word_game/{name}.py" for name in ("__init__", "__main__", "app", "client")),
    *(f"word_game/{name}" for name in ("environment.py", "models.py", "py.typed")),
    f"wheels/aioenv-{aioenv.__version__}-py3-none-any.whl",
}


def files_in(folder: Path) -> set[str]:
    """Return the paths of all files of a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_makes_a_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A project has everything that it needs, and the command says what to do with it."""
    assert main(["init", "word_game"]) == 0
    assert files_in(folder / "word_game") == FILES
    out, err = capsys.readouterr()
    assert out.startswith("Made word_game, 19 files.")
    for told in (
        "word_game/word_game/models.py",
        "cd word_game",
        "make test",
        "make validate",
        "aioenv push",
    ):
        assert told in out
    assert err == ""


@pytest.mark.parametrize("name", ["word_game", "game_2048", "a", "maze_env"])
def test_every_name_is_filled_in(folder: Path, name: str) -> None:
    """No placeholder is left, and nothing bears another project's name."""
    assert main(["init", name]) == 0
    project = folder / name
    texts = {
        path: path.read_text("utf-8")
        for path in project.rglob("*")
        if path.is_file() and path.suffix != ".whl"
    }
    assert [str(path) for path, text in texts.items() if "__ENV" in text or "__AIO" in text] == []
    if name != "word_game":
        assert [str(path) for path, text in texts.items() if "word_game" in text] == []
    manifest = yaml.safe_load(texts[project / "openenv.yaml"])
    assert (manifest["name"], manifest["app"]) == (name, f"{name}.app:app")
    assert f"aioenv~={aioenv.__version__}\n" in texts[project / "setup.cfg"]


def test_readme_lists_every_file(folder: Path) -> None:
    """The README's project structure names each file of the project, and each folder."""
    main(["init", "word_game"])
    readme = (folder / "word_game/README.md").read_text("utf-8")
    structure = readme.partition("## Project structure")[2]
    named = {line.split("── ")[1].split(" ")[0] for line in structure.splitlines() if "──" in line}
    wheel = {name for name in FILES if name.endswith(".whl")}
    files = {Path(name).name for name in FILES - wheel}
    folders = {f"{Path(name).parent}/" for name in FILES if "/" in name}
    assert named == files | folders


def test_same_name_same_bytes(folder: Path) -> None:
    """A project made twice is the same to the byte, its wheel included."""
    main(["init", "word_game", "-d", "one"])
    main(["init", "word_game", "-d", "two"])
    for name in FILES:
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes(), name


def test_wheel_holds_the_template(folder: Path) -> None:
    """The wheel can make projects itself: it holds the template, hidden files included."""
    main(["init", "word_game"])
    wheel = next((folder / "word_game/wheels").iterdir())
    names = zipfile.ZipFile(BytesIO(wheel.read_bytes())).namelist()
    for name in ("Dockerfile", ".dockerignore", "tests/test_service.py", "__ENV_NAME__/app.py"):
        assert f"aioenv/cli/template/{name}.template" in names


def test_image_behaves_as_echos(folder: Path) -> None:
    """The Dockerfile's final stage sets what Echo's does: user, health check, signals, settings."""
    main(["init", "word_game"])
    ours = final_stage(ROOT / "Dockerfile")
    made = final_stage(folder / "word_game/Dockerfile")
    assert [name for name, *_ in made] == [name for name, *_ in ours]
    for (name, flags, args), (_, made_flags, made_args) in zip(ours, made, strict=True):
        assert made_flags == flags, name
        if name in ("EXPOSE", "STOPSIGNAL", "USER"):
            assert made_args == args, name
        if name == "ENV":
            settings = [text for text in args if text.startswith("AIOENV_")]
            assert [text for text in made_args if text.startswith("AIOENV_")] == settings


def final_stage(dockerfile: Path) -> list[tuple[str, list[str], list[str]]]:
    """Return the instructions of a Dockerfile's last stage: names, flags, arguments."""
    instructions = [
        (instruction.name, instruction.flags, instruction.args)
        for instruction in parse_dockerfile_ast(dockerfile.read_text("utf-8")).instructions
    ]
    last = max(i for i, (name, *_) in enumerate(instructions) if name == "FROM")
    return [
        (name, [], []) if name == "FROM" else (name, flags, args)
        for name, flags, args in instructions[last:]
        if name != "COPY"
    ]


# Where


@pytest.mark.parametrize("place", ["deep/down/here", "empty", "cloned"])
def test_another_folder(folder: Path, place: str) -> None:
    """``--directory`` names a new folder, an empty one, or one with nothing but a Git history."""
    (folder / "empty").mkdir()
    (folder / "cloned/.git").mkdir(parents=True)
    (folder / "cloned/.git/HEAD").write_text("ref: refs/heads/main\n")
    assert main(["init", "word_game", "--directory", place]) == 0
    assert files_in(folder / place) - {".git/HEAD"} == FILES


def test_this_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The current folder will do; then there is none to change to."""
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    assert main(["init", "word_game", "-d", "."]) == 0
    assert files_in(folder / "here") == FILES
    assert "  cd " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (".", "the folder . is not empty (it holds link); choose another name"),
        ("worlds.py", "worlds.py is there already, and no folder; choose another --directory"),
        ("link", "link is there already, and no folder"),
        ("worlds.py/below", "cannot write worlds.py: File exists"),
    ],
)
def test_nothing_is_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str], place: str, reason: str
) -> None:
    """What is there already stays as it is; exit code 1."""
    (folder / "link").symlink_to(folder)
    before = files_in(folder)
    assert main(["init", "word_game", "--directory", place]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Error: {reason}")
    assert files_in(folder) == before


def test_failure_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the disk is full in the middle, what was written before is removed again."""
    before = set(folder.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # enough for all but the wheel
    try:
        assert main(["init", "word_game", "-d", "a/b"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert re.fullmatch(
        r"Error: cannot write a/b/wheels/aioenv-.*\.whl: File too large\n", capsys.readouterr().err
    )
    assert set(folder.rglob("*")) == before
