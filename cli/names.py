"""Names of projects: what a name may be, and what else is called after it."""

import keyword
import re
import sys
import unicodedata
from importlib.metadata import packages_distributions

from attrs import field, frozen

__all__ = ["ProjectName", "image_name"]

_RULE = "small letters, digits and single underscores, with a letter first"
_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 64

_OPENENV = frozenset({"openenv", "openenv_core"})
_FOLDERS = frozenset({"build", "dist", "docs", "test", "tests", "validation", "wheels"})
# What would be hidden by any file of that name that somebody has lying about.
_COMMON = frozenset(
    {"app", "client", "conftest", "env", "environment", "main", "models", "server", "service"}
    | {"setup", "utils"}
)


def image_name(name: str) -> str:
    """Return what the image of an environment is called: ``echo-env`` for ``echo_env``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _check(instance: "ProjectName", attribute: object, name: str) -> None:
    fault = _fault(name)
    if fault:
        raise ValueError(fault)


@frozen
class ProjectName:
    """The name of a project, which is also that of its Python package.

    Attributes:
        package: the name, such as ``word_game``.

    Raises:
        ValueError: it cannot be one, or is taken; its sentence says why, and offers another.
    """

    package: str = field(validator=_check)

    @property
    def class_prefix(self) -> str:
        """What its classes begin with: ``WordGame``; a last ``_env`` is left out."""
        return "".join(word.capitalize() for word in self._words())

    @property
    def title(self) -> str:
        """What people read: ``Word Game``."""
        return " ".join(word.capitalize() for word in self._words())

    @property
    def image(self) -> str:
        """What its image is called: ``word-game``."""
        return image_name(self.package)

    def _words(self) -> list[str]:
        return self.package.removesuffix("_env").split("_")


def _fault(name: str) -> str:
    """Return what is wrong with a name, or nothing."""
    if not _FORM.fullmatch(name):
        offer = _offer(name)
        remedy = f"; did you mean {offer!r}?" if offer else ", such as word_game"
        return f"{name!r} is no name for a Python package: it takes {_RULE}{remedy}"
    if len(name) > _LONGEST:
        return f"{name!r} is longer than {_LONGEST} characters"
    reason = _taken(name)
    another = f"my_{name}" if name.endswith("_env") else f"{name}_env"
    return f"{name!r} is taken: {reason}; choose another, such as {another}" if reason else ""


def _offer(name: str) -> str:
    """Return the nearest name that could be one, or nothing."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    offer = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    if offer[:1].isdigit():
        offer = f"env_{offer}"
    return "" if not offer or len(offer) > _LONGEST or _taken(offer) else offer


def _taken(name: str) -> str:
    """Return who has a name already, or nothing."""
    if keyword.iskeyword(name):
        return "it is a word of Python's own"
    if name in sys.stdlib_module_names:
        return "it is a module of Python's standard library, which it would hide"
    if name in _OPENENV:
        return "it is the package of OpenEnv, which it would hide"
    if name in _FOLDERS:
        return "a folder beside the package is called so"
    if name in _COMMON:
        return f"any {name}.py that lies about would hide it"
    distributions = packages_distributions().get(name)
    if distributions:
        return f"it is a package of {distributions[0]}, which is installed here and would be hidden"
    return ""
