"""What a Space is made of: the Dockerfile and the README, as they are changed for it."""

from pathlib import Path

import pytest
import yaml

from aioenv.cli.card import complete_card
from aioenv.cli.dockerfile import set_base_image, set_variable
from aioenv.cli.errors import CommandFailed
from aioenv.cli.space import prepare_space
from tests.peer.provision import Peer

ROOT = Path(__file__).parents[2]


# The Dockerfile


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FROM a\nCMD x\n", "FROM new:1\nCMD x\n"),
        ("FROM --platform=linux/amd64 a AS b", "FROM --platform=linux/amd64 new:1 AS b\n"),
        ("from a as b\nFROM c\nFROM a\n", "from new:1 as b\nFROM c\nFROM new:1\n"),
        ("FROM a AS b\nFROM b\n", "FROM new:1 AS b\nFROM b\n"),
        ("ARG B=a\nFROM ${B} AS x\nFROM $B\n", "ARG B=new:1\nFROM ${B} AS x\nFROM $B\n"),
        ("ARG B\nFROM ${B:-a}\n", "ARG B=new:1\nFROM ${B:-a}\n"),
        ("# FROM a\nFROM a\n", "# FROM a\nFROM new:1\n"),
        ("FROM \\\n  a\nRUN x \\\nFROM a\n", "FROM new:1\nRUN x \\\nFROM a\n"),
        ("FROM a\nRUN <<EOF\nFROM a\nEOF\n", "FROM new:1\nRUN <<EOF\nFROM a\nEOF\n"),
        ("FROM a\nRUN echo $((1<<x))\nFROM a\n", "FROM new:1\nRUN echo $((1<<x))\nFROM new:1\n"),
        ("# escape=`\nFROM a\nRUN x `\nFROM a\n", "# escape=`\nFROM new:1\nRUN x `\nFROM a\n"),
    ],
    ids=range(11),
)
def test_base_image_is_replaced(before: str, after: str) -> None:
    """The base image changes in every stage that has it, and nothing else does."""
    assert set_base_image(before, "new:1") == after


def test_base_image_needs_a_from() -> None:
    """Where there is nothing to replace, that is told."""
    with pytest.raises(CommandFailed, match="has no FROM"):
        set_base_image("CMD x\n", "new:1")


@pytest.mark.parametrize(
    "before",
    [
        "FROM a\nCMD x\n",
        "FROM a\nCMD x",
        "FROM a\nENV W=false\nCMD x\n",
        "FROM a\nENV W=true\nENV X=1 \\\n    W=false\n",
        "FROM a AS b\nENV W=true\nFROM a\nCMD x\n",
        "FROM a\nRUN <<EOF\nENV W=true\nEOF\n",
    ],
    ids=range(6),
)
def test_variable_is_set(before: str) -> None:
    """A variable that the last stage does not have, or has otherwise, is set at the end."""
    after = set_variable(before, "W", "true")
    assert after.rstrip("\n") == f"{before.rstrip(chr(10))}\n\nENV W=true"
    assert set_variable(after, "W", "true") == after


@pytest.mark.parametrize(
    "before", ["FROM a\nENV W=true\n", 'FROM a\nENV A=1 W="true" B=2\n', "FROM a\nENV W true\n"]
)
def test_variable_is_there_already(before: str) -> None:
    """A Dockerfile that has it stays as it is."""
    assert set_variable(before, "W", "true") == before


# The README


def complete(readme: str, *, has_interface: bool = True) -> tuple[dict[str, object], str, str]:
    """Complete a README; return its front matter as values, and both texts."""
    text, added = complete_card(readme, name="my_env", port=7000, has_interface=has_interface)
    _, matter, body = text.split("---\n", 2)
    return yaml.safe_load(matter), body, added


def test_card_is_made() -> None:
    """Without front matter all of it is made; without a text, a title, too."""
    card, body, added = complete("")
    assert (card["sdk"], card["app_port"], card["base_path"]) == ("docker", 7000, "/web")
    assert body == "\n# My Env Environment Server\n"
    assert added == "front matter"
    assert "base_path" not in complete("# Mine\n", has_interface=False)[0]


def test_card_is_completed() -> None:
    """What is missing comes at the end; what is there stays as it was written."""
    before = "---\ntitle: 'Mine' # really\nsdk:\ncolorFrom: pink\ntags: [a, b]\n---\nText\n---\n"
    card, body, added = complete(before)
    assert card["title"] == "Mine"
    assert (card["sdk"], card["colorFrom"], card["tags"]) == (
        "docker",
        "pink",
        ["a", "b", "openenv"],
    )
    assert body == "Text\n---\n"
    assert added == "emoji, colorTo, sdk, pinned, app_port, base_path, the tag openenv"
    assert (
        "title: 'Mine' # really\n" in complete_card(before, name="x", port=1, has_interface=True)[0]
    )


@pytest.mark.parametrize("matter", ["{sdk: docker}", '{\n"title": "Mine",\ntags: [a]}'])
def test_card_in_braces_is_completed(matter: str) -> None:
    """Entries in braces are written on lines, as others come to them; a complete card stays."""
    readme = f"---\n{matter}\n---\nText\n"
    card, body, _ = complete(readme)
    assert card.items() >= {"sdk": "docker", "app_port": 7000}.items()
    assert "openenv" in card["tags"]  # type: ignore[operator]
    assert (card["title"] == "Mine") == ("title" in matter)
    assert body == "Text\n"


def test_card_that_is_complete_stays() -> None:
    """A complete card is not touched, neither is its end of lines; completing twice is as once."""
    once, _ = complete_card("# Mine\n", name="my_env", port=7000, has_interface=True)
    assert complete_card(once, name="other", port=1, has_interface=True) == (once, "")
    ours = (ROOT / "README.md").read_text("utf-8")
    assert complete_card(ours, name="echo_env", port=8000, has_interface=True) == (ours, "")


def test_front_matter_may_be_empty_or_wrong() -> None:
    """An empty front matter is filled; one that is a list is refused."""
    assert complete("---\n---\nText\n")[0]["sdk"] == "docker"
    with pytest.raises(CommandFailed, match="holds no entries"):
        complete("---\n- a\n---\n")


# The whole


def test_our_own_repository() -> None:
    """Our repository makes a Space with the image's Dockerfile at its top."""
    space = prepare_space(ROOT)
    assert space.name == "echo_env"
    assert {"Dockerfile", "README.md", "openenv.yaml", "echo_env/app.py"} <= set(space.files)
    assert not any(name.startswith(".git") for name in space.files)
    assert space.changes == ["Dockerfile: the web interface is switched on"]


@pytest.mark.timeout(100, func_only=True)
def test_environment_of_openenv_init(peer: Peer) -> None:
    """What OpenEnv's own ``init`` makes becomes a Space: its Dockerfile at the top, on any base."""
    space = prepare_space(peer.project, base_image="base:1")
    assert space.name == "echo_env"
    assert "server/Dockerfile" not in space.files
    dockerfile = space.files["Dockerfile"]
    assert isinstance(dockerfile, bytes)
    assert dockerfile.count(b"base:1") == 1
    assert b"\nARG BASE_IMAGE=base:1\nFROM ${BASE_IMAGE} AS builder\n" in dockerfile
    assert dockerfile.endswith(b"\nENV ENABLE_WEB_INTERFACE=true\n")
    assert space.files["README.md"] == peer.project / "README.md"
    assert {"server/app.py", "client.py", "pyproject.toml"} <= set(space.files)


def test_no_interface(tmp_path: Path) -> None:
    """Without the interface nothing is set, but what the Dockerfile sets is switched off."""
    (tmp_path / "openenv.yaml").write_text("name: x\n")
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    space = prepare_space(tmp_path, has_interface=False)
    assert space.files["Dockerfile"] == tmp_path / "Dockerfile"
    (tmp_path / "Dockerfile").write_text("FROM a\nENV ENABLE_WEB_INTERFACE=true\n")
    space = prepare_space(tmp_path, has_interface=False)
    assert "Dockerfile: the web interface is switched off" in space.changes
    assert str(space.files["Dockerfile"]).count("ENABLE_WEB_INTERFACE=false") == 1


def test_named_dockerfile(tmp_path: Path) -> None:
    """A manifest may say where its Dockerfile is."""
    (tmp_path / "openenv.yaml").write_text("name: x\ndockerfile: docker/Space.Dockerfile\n")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "Space.Dockerfile").write_text("FROM a\n")
    assert "Dockerfile" in prepare_space(tmp_path).files


@pytest.mark.parametrize("name", ["README.md", "openenv.yaml", "Dockerfile"])
def test_what_a_space_needs_may_not_stay(tmp_path: Path, name: str) -> None:
    """What a Space cannot be without is not left out in silence."""
    (tmp_path / "openenv.yaml").write_text("name: x\n")
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    (tmp_path / "README.md").write_text("# x\n")
    (tmp_path / ".gitignore").write_text(f"{name}\n")
    with pytest.raises(CommandFailed, match=name):
        prepare_space(tmp_path)
