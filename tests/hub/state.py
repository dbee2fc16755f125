"""What a Hub keeps: who may do what, and Spaces with their files, settings and pull requests."""

import hashlib
from pathlib import Path

from attrs import define, field, frozen

__all__ = ["Account", "Commit", "Faults", "Space"]


@frozen
class Account:
    """Whoever a token belongs to.

    Attributes:
        name: the user's name.
        namespaces: what the user may write to, besides their own.
        can_write: whether the token may write at all.
    """

    name: str
    namespaces: tuple[str, ...] = ()
    can_write: bool = True

    def owns(self, namespace: str) -> bool:
        """Whether the token may write to a namespace."""
        return self.can_write and namespace in (self.name, *self.namespaces)


@frozen
class Commit:
    """Files, as a commit has left them."""

    summary: str
    files: dict[str, bytes]
    parent: str

    @property
    def oid(self) -> str:
        """A hash of what it is made of, as git's are."""
        digest = hashlib.sha1(self.parent.encode() + self.summary.encode())
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()


@define
class Space:
    """A Space, whether or not anybody would build it."""

    id: str
    sdk: str
    is_private: bool
    hardware: str | None = None
    variables: dict[str, str] = field(factory=dict)
    secrets: dict[str, str] = field(factory=dict)
    commits: list[Commit] = field(factory=list)
    pull_requests: list[Commit] = field(factory=list)

    @property
    def head(self) -> Commit:
        """The last commit."""
        return self.commits[-1]

    @property
    def files(self) -> dict[str, bytes]:
        """What anybody who clones it has."""
        return self.head.files

    def clone(self, folder: Path) -> Path:
        """Write its files to a folder, and return that."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder


@define
class Faults:
    """What goes wrong, and how often.

    Attributes:
        cut_commits: how many commits lose their connection with half of them sent.
        cut_uploads: the same, for large files.
        repeat_secrets: how many secrets are refused in words that repeat them, and the token.
    """

    cut_commits: int = 0
    cut_uploads: int = 0
    repeat_secrets: int = 0

    def strikes(self, name: str) -> bool:
        """Whether a fault strikes now; then it is one less."""
        left: int = getattr(self, name)
        setattr(self, name, max(0, left - 1))
        return left > 0
