"""The Dockerfile: what is changed in the author's for a build or a Space, as text.

Only instructions are looked at: neither comments nor the lines that an instruction goes on in, nor
here-documents. What is not changed stays as it was written.
"""

import re
from collections.abc import Iterator

from attrs import evolve, frozen

from aioenv.cli.errors import CommandFailed

__all__ = ["set_base_image", "set_variable"]

_HERE_DOCUMENT = re.compile(r"<<-?\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)[\"']?")
_FROM = re.compile(r"(FROM\s+(?:--\S+\s+)*)(\S+)(.*)", re.IGNORECASE)
_STAGE = re.compile(r"\s+AS\s+(\S+)", re.IGNORECASE)
_REFERENCE = re.compile(r"\$(?:\{(\w+)(?::?[-+][^}]*)?\}|(\w+))")


@frozen
class _Instruction:
    """An instruction, and the lines that it takes up."""

    first: int
    last: int
    text: str

    @property
    def keyword(self) -> str:
        return self.text.partition(" ")[0].upper()


def set_base_image(dockerfile: str, image: str) -> str:
    """Return a Dockerfile whose stages build upon another image.

    That is every stage that builds upon the same image as the first; stages keep their names and
    platforms. Where the image is the default of an ``ARG``, that default is what changes.

    Raises:
        CommandFailed: there is no ``FROM``.
    """
    lines = dockerfile.splitlines(keepends=True)
    instructions = list(_instructions(lines))
    froms = [(each, match) for each in instructions if (match := _FROM.match(each.text))]
    if not froms:
        raise CommandFailed("the Dockerfile has no FROM, so that no base image can be replaced")
    base = froms[0][1][2]
    reference = _REFERENCE.fullmatch(base)
    if reference is not None:
        name = reference[1] or reference[2]
        default = re.compile(rf"ARG\s+{name}\b", re.IGNORECASE)
        for each in instructions:
            if each.first < froms[0][0].first and default.match(each.text):
                _replace(lines, each, f"ARG {name}={image}")
                return "".join(lines)
    for each, match in froms:
        if match[2] == base:
            _replace(lines, each, f"{match[1]}{image}{match[3]}")
    return "".join(lines)


def set_variable(dockerfile: str, name: str, value: str) -> str:
    """Return a Dockerfile whose image has an environment variable; the same one if it has.

    It is set at the end, where it outdoes what the Dockerfile may have set it to before.
    """
    lines = dockerfile.splitlines(keepends=True)
    setting = re.compile(rf"ENV\s.*?\b{name}(?:=|\s+)[\"']?([^\s\"']*)", re.IGNORECASE | re.DOTALL)
    now = None
    for each in _instructions(lines):
        if each.keyword == "FROM":
            now = None
        elif match := setting.match(each.text):
            now = match[1]
    if now == value:
        return dockerfile
    gap = "" if dockerfile.endswith("\n") else "\n"
    return f"{dockerfile}{gap}\nENV {name}={value}\n"


# Instructions


def _instructions(lines: list[str]) -> Iterator[_Instruction]:
    """Give a Dockerfile's instructions; each as one line, without the escapes at line ends."""
    escape = "`" if re.match(r"#\s*escape\s*=\s*`", lines[0] if lines else "", re.I) else "\\"
    number = 0
    while number < len(lines):
        text = lines[number].strip()
        first = last = number
        number += 1
        if not text or text.startswith("#"):
            continue
        while text.endswith(escape) and number < len(lines):
            # Docker lets comments and empty lines stand between the lines of an instruction.
            line = lines[number].strip()
            last = number
            number += 1
            if line and not line.startswith("#"):
                text = f"{text.removesuffix(escape).rstrip()} {line}"
        instruction = _Instruction(first, last, text.removesuffix(escape))
        if instruction.keyword in ("RUN", "COPY", "ADD"):
            number = _after_documents(lines, number, text)
        yield evolve(instruction, last=max(last, number - 1))


def _after_documents(lines: list[str], number: int, text: str) -> int:
    """Return the number of the line after the here-documents that an instruction begins."""
    for word in _HERE_DOCUMENT.findall(text):
        end = next((at for at in range(number, len(lines)) if lines[at].strip() == word), None)
        if end is not None:  # what looks like one may be an arithmetic shift
            number = end + 1
    return number


def _replace(lines: list[str], instruction: _Instruction, text: str) -> None:
    """Put a text in the place of an instruction; the number of lines stays as it is."""
    for number in range(instruction.first, instruction.last + 1):
        lines[number] = ""
    lines[instruction.first] = f"{text}\n"
