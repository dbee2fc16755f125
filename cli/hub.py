"""The Hub: Hugging Face's, as ``huggingface_hub`` talks to it; what goes wrong there, in words."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from attrs import frozen

from aioenv import __version__
from aioenv.cli.errors import CommandFailed, Diagnosis

__all__ = ["Hub", "Settings"]

_HOW_TO_LOG_IN = (
    "log in with `hf auth login`, or set HF_TOKEN to a token that may write, from "
    "https://huggingface.co/settings/tokens"
)


@frozen
class Settings:
    """What a Space is set to, besides its files.

    Attributes:
        is_private: whether only its owner may see it.
        hardware: what it runs on, or ``None`` for what it has, or the Hub's default.
        variables: its public environment variables.
        secrets: its secret ones.
    """

    is_private: bool
    hardware: str | None
    variables: dict[str, str]
    secrets: dict[str, str]


class Hub:
    """The Hub, for whoever is logged in.

    Args:
        diagnosis: is told the token, which no report of an error may repeat.
    """

    def __init__(self, diagnosis: Diagnosis) -> None:
        # Late, because it takes its time, and only `push` needs it.
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        if not sys.stderr.isatty():
            disable_progress_bars()
        self._api = HfApi(library_name="aioenv", library_version=__version__)
        self._diagnosis = diagnosis

    # Public methods

    def user(self) -> str:
        """Return the name of whoever is logged in; on a terminal, ask them to log in first.

        Raises:
            CommandFailed: nobody is, or the Hub does not accept the token.
        """
        from huggingface_hub import get_token, login

        can_ask = sys.stdin.isatty() and sys.stdout.isatty()
        if get_token() is None and not can_ask:
            raise CommandFailed(f"you are not logged in to Hugging Face; {_HOW_TO_LOG_IN}")
        if get_token() is None:
            with self._errors("logging in"):
                login()
        with self._errors("asking who you are"):
            return str(self._api.whoami()["name"])

    def ready_space(self, repo_id: str, settings: Settings) -> str:
        """Have a Space with these settings, a new one where there is none; return its address.

        A Space that is there stays as private as it is, or becomes private where that was asked
        for; it does so before anything is uploaded.

        Raises:
            CommandFailed: the Hub refuses, or cannot be reached.
        """
        with self._errors(f"making the Space {repo_id}"):
            is_there = self._api.repo_exists(repo_id, repo_type="space")
            url = self._api.create_repo(
                repo_id,
                repo_type="space",
                space_sdk="docker",
                private=settings.is_private or None,
                exist_ok=True,
                **({} if is_there else _for_a_new_space(settings)),
            )
        if is_there:
            self._set_anew(repo_id, settings)
        return str(url)

    def upload(
        self,
        repo_id: str,
        files: Mapping[str, Path | bytes],
        *,
        delete: tuple[str, ...] = (),
        as_pull_request: bool = False,
        message: str,
    ) -> str:
        """Upload files in one commit, so that nothing half-made is ever built.

        Returns:
            The address of the commit or of the pull request.

        Raises:
            CommandFailed: the Hub refuses, or cannot be reached. Where only its answer was lost,
                everything has arrived; else nothing has.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete
        from rich.console import Console

        with self._errors(f"uploading to {repo_id}"):
            additions = [
                CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
                for name, content in files.items()
            ]
            there = self._api.list_repo_files(repo_id, repo_type="space") if delete else ()
            deletions = [
                CommitOperationDelete(name)
                for name in there
                if name not in files and name != ".gitattributes"
                if any(fnmatch(name, pattern) for pattern in delete)
            ]
            # Large files go first and apart, since huggingface_hub shows their progress itself.
            self._api.preupload_lfs_files(
                repo_id,
                additions,
                repo_type="space",
                create_pr=as_pull_request,
                free_memory=False,
            )
            with Console(stderr=True).status("committing"):
                commit = self._api.create_commit(
                    repo_id,
                    [*deletions, *additions],
                    repo_type="space",
                    commit_message=message,
                    create_pr=as_pull_request,
                )
        return str(commit.pr_url if as_pull_request else commit.commit_url)

    # Private methods

    def _set_anew(self, repo_id: str, settings: Settings) -> None:
        """Set what was asked for of a Space that is there already."""
        if settings.is_private:
            with self._errors(f"making {repo_id} private"):
                self._api.update_repo_settings(repo_id, repo_type="space", private=True)
        for name, value in settings.variables.items():
            with self._errors(f"setting the variable {name}"):
                self._api.add_space_variable(repo_id, name, value)
        for name, value in settings.secrets.items():
            with self._errors(f"setting the secret {name}"):
                self._api.add_space_secret(repo_id, name, value)
        if settings.hardware is not None:
            with self._errors(f"asking for the hardware {settings.hardware}"):
                self._api.request_space_hardware(repo_id, settings.hardware)  # type: ignore[arg-type]

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Raise what is a matter of the Hub's or of the network's as one sentence."""
        from huggingface_hub import get_token

        try:
            yield
        except Exception as error:
            self._diagnosis.keep_secret(get_token())
            words = _in_words(error, doing, self._api.endpoint)
            if words is None:
                raise
            raise CommandFailed(words) from error


def _for_a_new_space(settings: Settings) -> dict[str, Any]:
    """Return what a new Space is made with, so that its first build finds it."""
    return {
        "space_hardware": settings.hardware,
        "space_variables": _pairs(settings.variables),
        "space_secrets": _pairs(settings.secrets),
    }


def _pairs(entries: dict[str, str]) -> list[dict[str, str]] | None:
    return [{"key": name, "value": value} for name, value in entries.items()] or None


def _in_words(error: Exception, doing: str, endpoint: str) -> str | None:
    """Say what went wrong, and what to do about it; nothing of what is nobody's fault there."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

    said = " ".join((getattr(error, "server_message", None) or str(error)).split())
    if isinstance(error, HfHubHTTPError):
        return _refusal(error.response.status_code, said, doing)
    is_here = isinstance(error, OSError) and error.filename is not None
    if isinstance(error, ValueError) or is_here:  # a name, the front matter, a file
        return f"{doing} failed: {said}"
    if not isinstance(error, TransportError | OSError):
        return None
    cause = error.__cause__ or error
    return (
        f"{doing} failed, because the connection to {endpoint} did "
        f"({type(cause).__name__}: {' '.join(str(cause).split())}); either all files have arrived "
        "or none has, and pushing again is safe"
    )


def _refusal(status: int, said: str, doing: str) -> str:
    match status:
        case 401:
            source = "of HF_TOKEN" if os.environ.get("HF_TOKEN") else "that is stored here"
            return f"{doing} failed: the Hub does not accept the token {source}; {_HOW_TO_LOG_IN}"
        case 403:
            return (
                f"{doing} failed: you may not do that ({said}); name an owner that you may write "
                "for with --namespace, or use a token with the right to write"
            )
        case 404:
            return (
                f"{doing} failed: there is no such Space, or you may not see it; check its name, "
                "and push it once without --create-pr where it is new"
            )
        case 429:
            return f"{doing} failed: too many requests in a short time ({said}); try again later"
    return f"{doing} failed: the Hub answered {status} ({said})"
