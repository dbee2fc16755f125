"""The manifest: what ``openenv.yaml`` says of an environment's folder."""

from pathlib import Path
from typing import Any

from attrs import frozen

from aioenv.cli.errors import CommandFailed

__all__ = ["DOCKERFILES", "MANIFEST", "PORT", "Manifest"]

MANIFEST = "openenv.yaml"
#: Where a Dockerfile is looked for; the second place is that of OpenEnv's own projects.
DOCKERFILES: tuple[str, ...] = ("Dockerfile", "server/Dockerfile")
#: Where an environment listens, unless its manifest names another port.
PORT = 8000


@frozen
class Manifest:
    """A manifest, as it was written.

    Attributes:
        path: its file.
        fields: what it says.
    """

    path: Path
    fields: dict[Any, Any]

    @classmethod
    def of(cls, folder: Path, remedy: str) -> "Manifest":
        """Read the manifest of a folder.

        Args:
            folder: where it lies.
            remedy: what to do where there is none.

        Raises:
            CommandFailed: there is none, or it cannot be read, or is no mapping.
        """
        import yaml

        path = folder / MANIFEST
        try:
            fields = yaml.safe_load(path.read_bytes())
        except FileNotFoundError:
            raise CommandFailed(f"there is no {MANIFEST} in {folder.resolve()}; {remedy}") from None
        except (OSError, ValueError, yaml.YAMLError) as error:  # a date that is none, too
            words = " ".join(str(error).split())
            raise CommandFailed(f"{path} cannot be read: {words}") from error
        if not isinstance(fields, dict):
            raise CommandFailed(f"{path} holds no entries, such as: name: my_env")
        return cls(path, fields)

    @property
    def name(self) -> str:
        """The environment's name.

        Raises:
            CommandFailed: it names none.
        """
        name = self.fields.get("name")
        if not isinstance(name, str) or not name:
            raise CommandFailed(f"{self.path} does not say what it is called; add: name: my_env")
        return name

    @property
    def app(self) -> str:
        """The application, as module:attribute.

        Raises:
            CommandFailed: it names none.
        """
        app = self.fields.get("app")
        if not isinstance(app, str):
            raise CommandFailed(
                f"{self.path} does not name its application; add: app: module:attribute"
            )
        return app

    @property
    def dockerfiles(self) -> tuple[str, ...]:
        """Where to look for its Dockerfile, by paths in its folder."""
        named = self.fields.get("dockerfile")
        return (named,) if isinstance(named, str) else DOCKERFILES

    @property
    def port(self) -> int | None:
        """The port, if it names one.

        Raises:
            CommandFailed: it is no port.
        """
        port = self.fields.get("port")
        if port is not None and (not isinstance(port, int) or not 0 <= port <= 65535):
            raise CommandFailed(
                f"{self.path} names the port {port!r}, which is no number up to 65535"
            )
        return port
