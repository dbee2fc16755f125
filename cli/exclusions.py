"""Exclusions: what of a folder is never uploaded, and why.

Whatever a pattern says, secrets, version control, virtual environments and caches stay at home.
Beyond them, hidden files stay and what git ignores; patterns of ``--exclude`` keep more back, or
bring something along with a ``!``. What ``.dockerignore`` names does go: it is read where the image
is built.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from aioenv.cli.errors import CommandFailed
from aioenv.cli.tokens import find_token

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["Selection", "select_files"]

# Why, and the names, in lower case. Nothing brings these back.
_NEVER = {
    "version control": (".git", ".hg/", ".svn/", ".jj/", ".bzr/"),
    "a virtual environment": (".venv", ".virtualenv/", "conda-meta/"),
    "a cache": (
        *("__pycache__/", "*.py[cod]", ".cache/", ".*_cache/", ".tox/", ".nox/", ".hypothesis/"),
        *(".ipynb_checkpoints/", ".eggs/", "node_modules/", ".ds_store", "thumbs.db"),
    ),
    "may hold secrets": (
        *(".env", ".env.*", "*.env", ".envrc", "!.env.example", "!.env.sample", "!.env.template"),
        *(".netrc", "_netrc", ".pypirc", ".npmrc", ".yarnrc", ".git-credentials", ".htpasswd"),
        *(".aws/", ".azure/", ".gcloud/", ".gnupg/", ".kaggle/", ".kube/", ".ssh/", ".docker/"),
        *(".huggingface/", ".hf_token", "hf_token", "stored_tokens", "kubeconfig", "*.ovpn"),
        *("credentials", "credentials.json", "credentials.y*ml", "token.json", "token.pickle"),
        *("client_secret*.json", "service[-_]account*.json", "kaggle.json"),
        *("secrets/", "secrets.txt", "secrets.toml", "secrets.json", "secrets.y*ml"),
        *(".secrets", ".secrets.*", "*.tfstate", "*.tfstate.*"),
    ),
    "a key": (
        *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.p8"),
        *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.gpg", "*.age"),
    ),
}
_BY_DEFAULT = {
    "hidden": (".*", "!.dockerignore", "!.python-version", "!.*.template"),
    "made by a build": ("/build/", "*.egg-info/"),
}

# Files that an image is made of: without one of them, a Space would be half of what it should be.
_CODE = (
    *("*.py", "Dockerfile", "*.Dockerfile", "README.md", "openenv.yaml"),
    *("pyproject.toml", "setup.cfg", "requirements*.txt", "uv.lock"),
)


@frozen
class Selection:
    """What of a folder goes, and what stays.

    Attributes:
        files: the files to upload, by their paths in the folder.
        left_out: why each of the others stays, by their paths; those of folders end with a slash.
    """

    files: dict[str, Path] = field(factory=dict)
    left_out: dict[str, str] = field(factory=dict)


def select_files(folder: Path, *, exclude: Path | None = None) -> Selection:
    """Look through a folder for what may be uploaded.

    Args:
        folder: the environment's folder.
        exclude: a file of further patterns; relative to the folder, or else to the current one.

    Raises:
        CommandFailed: code holds a token; or something cannot be read.
    """
    walk = _Walk(folder.resolve(), exclude)
    walk.through(walk.folder, [*walk.ignored_above()])
    return walk.selection


class _Walk:
    """A walk through a folder, from the top."""

    def __init__(self, folder: Path, exclude: Path | None) -> None:
        from pathspec import GitIgnoreSpec

        self.folder = folder
        self.selection = Selection()
        self._spec = GitIgnoreSpec
        self._never = {why: self._spec.from_lines(names) for why, names in _NEVER.items()}
        self._default = {why: self._spec.from_lines(names) for why, names in _BY_DEFAULT.items()}
        self._code = self._spec.from_lines(_CODE)
        self._asked = None if exclude is None else self._read(self._found(exclude))

    def through(self, here: Path, ignored: "list[tuple[Path, GitIgnoreSpec]]") -> None:
        """Look through one of its folders, with the ``.gitignore`` files that hold there."""
        if (here / ".gitignore").is_file():
            ignored = [*ignored, (here, self._read(here / ".gitignore"))]
        try:
            entries = sorted(here.iterdir())
        except OSError as error:
            raise CommandFailed(f"{here} cannot be read: {error.strerror}") from error
        for entry in entries:
            is_folder = entry.is_dir() and not entry.is_symlink()
            name = entry.relative_to(self.folder).as_posix() + "/" * is_folder
            why = self._why_not(entry, name, ignored)
            if why is not None:
                self.selection.left_out[name] = why
            elif is_folder:
                self.through(entry, ignored)
            else:
                self.selection.files[name] = entry

    def ignored_above(self) -> "Iterator[tuple[Path, GitIgnoreSpec]]":
        """Give the ``.gitignore`` files between the repository's top and the folder."""
        above = [self.folder, *self.folder.parents]
        top = next((number for number, at in enumerate(above) if (at / ".git").exists()), 0)
        for at in reversed(above[1 : top + 1]):
            if (at / ".gitignore").is_file():
                yield at, self._read(at / ".gitignore")

    # Private methods

    def _why_not(
        self, entry: Path, name: str, ignored: "list[tuple[Path, GitIgnoreSpec]]"
    ) -> str | None:
        """Return why an entry stays, or ``None`` if it goes."""
        for why, spec in self._never.items():
            if spec.match_file(name.lower()):
                return why
        if (entry / "pyvenv.cfg").is_file():
            return "a virtual environment"
        if (unwanted := self._unwanted(entry, name, ignored)) is not None:
            return unwanted
        if entry.is_symlink():
            target = entry.resolve()
            if not target.is_relative_to(self.folder):
                return "a link out of the folder"
            if target.is_dir():
                return "a link to a folder"
            return self._why_not(target, target.relative_to(self.folder).as_posix(), ignored)
        if entry.is_dir():
            return None
        return self._content(entry, name) if entry.is_file() else "no file"

    def _unwanted(
        self, entry: Path, name: str, ignored: "list[tuple[Path, GitIgnoreSpec]]"
    ) -> str | None:
        """Ask the patterns; each kind may overrule the one before, `--exclude` all of them."""
        why = None
        for reason, spec in self._default.items():
            if spec.match_file(name):
                why = reason
        verdict = None
        for top, spec in ignored:
            include = spec.check_file(_below(top, entry, name)).include
            verdict = verdict if include is None else include
        if verdict:
            why = "ignored by .gitignore"
        if self._asked is not None:
            include = self._asked.check_file(name).include
            if include is not None:
                why = "excluded by you" if include else None
        return why

    def _content(self, entry: Path, name: str) -> str | None:
        try:
            token = find_token(entry)
        except OSError as error:
            raise CommandFailed(f"{entry} cannot be read: {error.strerror}") from error
        if token is None:
            return None
        if self._code.match_file(name):
            raise CommandFailed(
                f"{name}, line {token.line}, holds {token.kind}, and nothing was uploaded: take it "
                "out, and give it to the Space with --secret; or write a placeholder as such, like "
                "xxxxxxxxxx; or have a file that the Space can do without left out by --exclude"
            )
        return f"holds {token.kind} in line {token.line}"

    def _found(self, exclude: Path) -> Path:
        for path in (self.folder / exclude, exclude):
            if path.is_file():
                return path
        raise CommandFailed(f"there is no file {os.fspath(exclude)!r} for --exclude")

    def _read(self, path: Path) -> "GitIgnoreSpec":
        try:
            return self._spec.from_lines(path.read_text("utf-8").splitlines())
        except (OSError, ValueError) as error:
            raise CommandFailed(f"the patterns of {path} cannot be read: {error}") from error


def _below(top: Path, entry: Path, name: str) -> str:
    """Return an entry's path from a folder above it; that of a folder ends with a slash."""
    return entry.relative_to(top).as_posix() + "/" * name.endswith("/")
