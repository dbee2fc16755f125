"""The structure: whether a folder has what an environment needs to be served, built and pushed."""

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aioenv.cli.card import read_card
from aioenv.cli.checklist import Checklist, Fault, Skipped, shown
from aioenv.cli.entries import KNOWN, faults_of_entries, faults_of_validation
from aioenv.cli.errors import CommandFailed
from aioenv.cli.manifest import DOCKERFILES, PORT, Manifest
from aioenv.cli.sources import check_application

__all__ = ["check_folder"]

_PUSH_ADDS = "`aioenv push` adds it to what it uploads"


def check_folder(folder: Path) -> Checklist:
    """Check an environment's folder. Its application is imported, unless it is one of OpenEnv's."""
    checklist = Checklist(str(folder))
    try:
        manifest = Manifest.of(folder, "make an environment with: aioenv init my_env")
    except CommandFailed as error:
        words, _, advice = error.message.partition("; ")
        checklist.fail("manifest", words, advice or "`aioenv init` makes one to begin with")
        return checklist
    checklist.run("manifest", lambda: _entries(manifest))
    checklist.run("app", lambda: check_application(manifest, folder))
    checklist.run("validation", lambda: _validation(manifest, folder))
    checklist.run("dockerfile", lambda: _dockerfile(manifest, folder))
    checklist.run("readme", lambda: _readme(manifest, folder))
    checklist.run("client", lambda: _client(folder))
    checklist.run("tests", lambda: _tests(folder))
    return checklist


def _entries(manifest: Manifest) -> str | tuple[str, str]:
    _raise_first(manifest, faults_of_entries(manifest))
    fields = manifest.fields
    for key in fields:
        if key not in KNOWN:
            near = difflib.get_close_matches(str(key), KNOWN, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            return f"it names {fields['name']}", f"nothing reads the entry {key!r}{meant}"
    return f"it names {fields['name']}"


def _validation(manifest: Manifest, folder: Path) -> str:
    if "validation" not in manifest.fields:
        raise Skipped(
            f"{manifest.path} has no entry 'validation'",
            "add one, if `openenv validate` is to grade the environment",
        )
    _raise_first(manifest, faults_of_validation(manifest.fields["validation"]))
    execution = manifest.fields["validation"].get("execution") or {}
    path = execution.get("probe_path")
    if path is None:
        return "it can be graded, but not run"
    _check_probe(folder / path)
    built = execution.get("dockerfile", DOCKERFILES[0])
    if built not in DOCKERFILES and not (folder / built).is_file():
        raise Fault(f"there is no {folder / built}", "name a Dockerfile that is there")
    return f"it is graded by playing {path}"


def _check_probe(path: Path) -> None:
    try:
        plan = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Fault(f"{path} cannot be read: {error}", "write the episode to play there") from error
    actions = plan.get("actions") if isinstance(plan, dict) else None
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        raise Fault(
            f"{path} holds no episode to play",
            'write {"plan_schema_version": "1", "reset": {…}, "actions": [{…}]}',
        )


def _dockerfile(manifest: Manifest, folder: Path) -> str:
    for name in manifest.dockerfiles:
        path = folder / name
        if path.is_file():
            try:
                lines = path.read_text("utf-8", "replace").splitlines()
            except OSError as error:
                raise Fault(f"{path} cannot be read: {error.strerror}", "let it be read") from error
            if any(line.split(maxsplit=1)[:1] in (["FROM"], ["from"]) for line in lines):
                return f"{name} is there"
            raise Fault(f"{path} builds on nothing", "begin it with: FROM python:3.13-slim")
    raise Fault(
        f"there is no {' or '.join(manifest.dockerfiles)} in {folder}",
        "copy the one that `aioenv init` makes; adapt it",
    )


def _readme(manifest: Manifest, folder: Path) -> str | tuple[str, str]:
    path = folder / "README.md"
    if not path.is_file():
        raise Skipped(f"there is no {path}", _PUSH_ADDS)
    try:
        card = read_card(path.read_text("utf-8"))
    except (CommandFailed, OSError, ValueError) as error:
        raise Fault(f"{path}: {error}", "mend its front matter") from error
    if card is None:
        raise Skipped(f"{path} has no front matter, from which the Hub takes a Space", _PUSH_ADDS)
    port = manifest.fields.get("port") or PORT
    for key, expected in (("sdk", "docker"), ("app_port", port)):
        if card.get(key, expected) != expected:
            raise Fault(
                f"{path} says {key}: {shown(card[key])}, but the environment needs {expected}",
                f"write {key}: {expected} into its front matter",
            )
    base = card.get("base_path", "/")
    if not isinstance(base, str) or not base.startswith("/"):
        raise Fault(f"{path} says base_path: {shown(base)}", "write base_path: /web")
    tags = card.get("tags")
    lacking = [key for key in ("sdk", "app_port") if key not in card]
    if "openenv" not in (tags if isinstance(tags, list) else [tags]):
        lacking.append("the tag openenv")
    if lacking:
        return f"its front matter lacks {', '.join(lacking)}", _PUSH_ADDS
    return "its front matter makes a Space of Docker's"


def _client(folder: Path) -> str:
    for path in _packages(folder, "client.py"):
        return f"{path.relative_to(folder)} is there"
    raise Skipped("there is no client.py", "write one, for users with typed actions")


def _tests(folder: Path) -> str:
    found = sorted(folder.glob("tests/**/test_*.py"))
    if found:
        return f"tests/ holds {len(found)} files of tests"
    raise Skipped(f"there are no tests in {folder / 'tests'}", "write some; pytest finds test_*.py")


def _packages(folder: Path, name: str) -> Iterator[Path]:
    yield from sorted(folder.glob(name))
    yield from sorted(folder.glob(f"*/{name}"))


def _raise_first(manifest: Manifest, faults: Iterator[tuple[str, Any, str]]) -> None:
    """Tell of all faults of entries at once, with what to do about the first."""
    found = list(faults)
    if found:
        words = "; ".join(
            f"{key} is {shown(value)}" if value is not None else f"{key} is missing"
            for key, value, _ in found
        )
        raise Fault(f"{manifest.path}: {words}", "; ".join(f"write {how}" for _, _, how in found))
