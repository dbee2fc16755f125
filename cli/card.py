"""The card of a Space: the front matter of its README, from which the Hub takes its settings."""

import re
from typing import Any

from aioenv.cli.errors import CommandFailed

__all__ = ["complete_card", "read_card"]

_BLOCK = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.S | re.M)
_TAG = "openenv"
_WEB = "/web"


def complete_card(readme: str, *, name: str, port: int, has_interface: bool) -> tuple[str, str]:
    """Complete the front matter of a README; what it says already stays as it stands.

    Args:
        readme: the text; empty where there is none.
        name: the environment's name, for the title.
        port: where the service listens in its container.
        has_interface: whether the Space shows the web interface.

    Returns:
        The text, and what was added, such as "sdk, app_port"; empty where nothing was.

    Raises:
        CommandFailed: the front matter cannot be read, or is of another kind of Space.
    """
    block = _BLOCK.match(readme)
    said = {} if block is None else _read(block[1])
    wanted: dict[str, Any] = {
        "title": f"{name.replace('_', ' ').replace('-', ' ').title()} Environment Server",
        "emoji": "🌍",
        "colorFrom": "blue",
        "colorTo": "indigo",
        "sdk": "docker",
        "pinned": False,
        "app_port": port,
        **({"base_path": _WEB} if has_interface else {}),
        "tags": [_TAG],
    }
    if (said.get("sdk") or "docker") != "docker":
        raise CommandFailed(
            f"README.md makes a Space of the kind {said['sdk']!r}, but an environment is one of "
            "Docker's; change its front matter to: sdk: docker"
        )
    missing = {key: value for key, value in wanted.items() if said.get(key) is None}
    if block is None:
        body = readme.removeprefix("\ufeff").lstrip()
        heading = "" if body else f"# {wanted['title']}\n"
        return f"---\n{_written(missing)}---\n\n{body}{heading}", "front matter"
    added, matter = list(missing), _in_lines(block[1], said)
    if "tags" not in missing and _TAG not in _listed(said["tags"]):
        matter = _with_tag(matter, _listed(said["tags"]))
        added.append(f"the tag {_TAG}")
    if not added:
        return readme, ""
    matter = _without_empty(matter, missing)
    start, end = block.span(1)
    return readme[:start] + matter + _written(missing) + readme[end:], ", ".join(added)


def read_card(readme: str) -> dict[str, Any] | None:
    """Return the entries of a README's front matter; ``None`` where it has none.

    Raises:
        CommandFailed: it cannot be read.
    """
    block = _BLOCK.match(readme)
    return None if block is None else _read(block[1])


def _read(text: str) -> dict[str, Any]:
    import yaml

    try:
        said = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:  # a date that is none, too
        words = " ".join(str(error).split())
        raise CommandFailed(f"the front matter of README.md cannot be read: {words}") from error
    if not isinstance(said, dict | None):
        raise CommandFailed("the front matter of README.md holds no entries, such as: sdk: docker")
    return said or {}


def _written(entries: dict[str, Any]) -> str:
    import yaml

    if not entries:
        return ""
    text: str = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    return text


def _in_lines(matter: str, said: dict[str, Any]) -> str:
    """Write entries that stand in braces on lines of their own, to which others can be added."""
    import yaml

    root = yaml.compose(matter, Loader=yaml.SafeLoader)
    is_in_braces = isinstance(root, yaml.MappingNode) and root.flow_style
    return _written(said) if is_in_braces else matter


def _listed(tags: Any) -> list[Any]:
    return tags if isinstance(tags, list) else [tags]


def _with_tag(matter: str, tags: list[Any]) -> str:
    """Write the list of tags anew, with ours, in its place."""
    without = _without(matter, "tags")
    return without + _written({"tags": [*tags, _TAG]})


def _without_empty(matter: str, missing: dict[str, Any]) -> str:
    """Leave out keys that are there but empty, since YAML wants each key once."""
    for key in missing:
        matter = _without(matter, key)
    return matter if not matter or matter.endswith("\n") else f"{matter}\n"


def _without(matter: str, key: str) -> str:
    """Leave out the lines from a key to the next one, as YAML's own reader finds them."""
    import yaml

    root = yaml.compose(matter, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return matter
    lines = matter.splitlines(keepends=True)
    starts = [name.start_mark.line for name, _ in root.value]
    for (name, _), start, end in zip(root.value, starts, [*starts[1:], len(lines)], strict=True):
        if name.value == key:
            del lines[start:end]
            break
    return "".join(lines)
