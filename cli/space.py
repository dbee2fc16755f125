"""The Space: what of an environment's folder is uploaded, and what is changed for it."""

from pathlib import Path
from typing import Any

from attrs import field, frozen

from aioenv.cli.card import complete_card
from aioenv.cli.dockerfile import set_base_image, set_variable
from aioenv.cli.errors import CommandFailed
from aioenv.cli.exclusions import select_files
from aioenv.cli.manifest import MANIFEST, PORT, Manifest

__all__ = ["Space", "prepare_space"]

_DOCKERFILE = "Dockerfile"  # the one that the Hub builds
_README = "README.md"
_INTERFACE = "ENABLE_WEB_INTERFACE"


@frozen
class Space:
    """An environment, ready to be uploaded.

    Attributes:
        name: the environment's name, as its manifest says.
        variables: the environment variables that its manifest wants the Space to have.
        files: what is uploaded, by its path: a file of the folder, or a text that is new.
        changes: what differs from the folder, in words.
        left_out: why each of the other files stays, by their paths.
    """

    name: str
    variables: dict[str, str]
    files: dict[str, Path | bytes]
    changes: list[str] = field(factory=list)
    left_out: dict[str, str] = field(factory=dict)

    @property
    def size_bytes(self) -> int:
        """How much is uploaded, in bytes."""
        return sum(
            len(content) if isinstance(content, bytes) else content.stat().st_size
            for content in self.files.values()
        )


def prepare_space(
    folder: Path,
    *,
    base_image: str | None = None,
    has_interface: bool = True,
    exclude: Path | None = None,
) -> Space:
    """Make a Space of an environment's folder. The folder itself is only read.

    Args:
        folder: the folder.
        base_image: the image to build upon instead of the Dockerfile's own.
        has_interface: whether the web interface is switched on.
        exclude: a file with patterns of what to leave out.

    Raises:
        CommandFailed: the folder is no environment, or cannot be read, or code holds a token.
    """
    manifest = Manifest.of(
        folder, "push an environment's folder, or make one with: aioenv init my_env"
    )
    variables = _variables(manifest)
    selection = select_files(folder, exclude=exclude)
    space = Space(manifest.name, variables, dict(selection.files), left_out=selection.left_out)
    _ready_dockerfile(space, manifest, base_image=base_image, has_interface=has_interface)
    _ready_readme(space, manifest, has_interface=has_interface)
    if MANIFEST not in space.files:
        raise CommandFailed(f"{MANIFEST} is to be uploaded, but {space.left_out[MANIFEST]}")
    return space


def _variables(manifest: Manifest) -> dict[str, str]:
    variables = manifest.fields.get("variables") or {}
    if not isinstance(variables, dict):
        raise CommandFailed(
            f"the variables of {manifest.path} have no names; write them so: variables: "
            "{NAME: value}"
        )
    return {str(name): _text(value) for name, value in variables.items()}


def _text(value: Any) -> str:
    """Write a value of the manifest as an environment variable: as it stands there."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ready_dockerfile(
    space: Space, manifest: Manifest, *, base_image: str | None, has_interface: bool
) -> None:
    """Have the Dockerfile at the top, with the base image and the interface that were asked for."""
    places = manifest.dockerfiles
    place = next((place for place in places if place in space.files), None)
    if place is None:
        why = next((f" ({space.left_out[at]})" for at in places if at in space.left_out), "")
        raise CommandFailed(
            f"there is no Dockerfile{why}, and a Space is built from one; expected "
            f"{' or '.join(places)}"
        )
    written = _content(space, place)
    text = written
    if base_image is not None:
        text = set_base_image(text, base_image)
        space.changes.append(f"{_DOCKERFILE}: the base image is {base_image}")
    before = text
    if has_interface or _INTERFACE in text:
        text = set_variable(text, _INTERFACE, "true" if has_interface else "false")
    if text != before:
        state = "on" if has_interface else "off"
        space.changes.append(f"{_DOCKERFILE}: the web interface is switched {state}")
    if place != _DOCKERFILE:
        space.changes.append(
            f"{_DOCKERFILE}: moved from {place}, since the Hub builds the one here"
        )
        # As it was, where nothing else changes in it; a link stays what it is.
        space.files[_DOCKERFILE] = space.files.pop(place)
    if text != written:
        space.files[_DOCKERFILE] = text.encode()


def _ready_readme(space: Space, manifest: Manifest, *, has_interface: bool) -> None:
    """Have a README whose front matter makes the Space one of Docker's."""
    if _README not in space.files and _README in space.left_out:
        raise CommandFailed(f"{_README} is to be uploaded, but {space.left_out[_README]}")
    written = _content(space, _README) if _README in space.files else ""
    text, added = complete_card(
        written, name=space.name, port=manifest.port or PORT, has_interface=has_interface
    )
    if added:
        space.changes.append(f"{_README}: added {added}")
        space.files[_README] = text.encode()


def _content(space: Space, name: str) -> str:
    """Return one of its files as a text, with the line ends that it has."""
    content = space.files[name]
    try:
        return (content if isinstance(content, bytes) else content.read_bytes()).decode()
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{name} cannot be read: {error}") from error
