"""Tokens: secrets that give themselves away by their form, found in the contents of files."""

import mmap
import re
from pathlib import Path

from attrs import frozen

__all__ = ["Token", "find_token"]

# What each looks like, as its issuer documents it. Each begins with a mark of its own, so that
# prose and data are not mistaken for it.
_FORMS = {
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a Hugging Face token": (
        rb"\b(?:hf_[A-Za-z0-9]{30,}\b|hf_oauth_[A-Za-z0-9._-]{20,}|api_org_[A-Za-z0-9]{30,}\b)"
    ),
    "an Anthropic key": rb"\bsk-ant-[A-Za-z0-9_-]{20,}",
    "an OpenAI key": rb"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,}\b)",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b",
    "a GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a Google API key": rb"\bAIza[A-Za-z0-9_-]{35}\b",
    "a Slack token": rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Stripe key": rb"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "a SendGrid key": rb"\bSG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{40,}",
    "a PyPI token": rb"\bpypi-AgE[A-Za-z0-9_-]{40,}",
    "an npm token": rb"\bnpm_[A-Za-z0-9]{36}\b",
    "a Docker Hub token": rb"\bdckr_[a-z]{3}_[A-Za-z0-9_-]{20,}",
    "a Weights & Biases key": rb"\bwandb_v[0-9]_[A-Za-z0-9_-]{20,}",
}
_KINDS = tuple(_FORMS)
_ANY = re.compile(b"|".join(b"(%s)" % form for form in _FORMS.values()))
# What a text shows where a token would be, such as hf_xxxxxxxx…: none ends so by chance.
_PLACEHOLDER = re.compile(rb"(.)\1{9}\Z", re.DOTALL)


@frozen
class Token:
    """A secret in a file. Its text is kept nowhere.

    Attributes:
        kind: what it is, such as "a GitHub token".
        line: the line where it begins, counted from 1.
    """

    kind: str
    line: int


def find_token(path: Path) -> Token | None:
    """Return the first token in a file, or ``None``.

    What ends with one character, again and again, holds a token's place and is none. The file is
    mapped, not read into memory, and searched to its end.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for found in _ANY.finditer(content):
                if found.lastindex is not None and not _PLACEHOLDER.search(found.group()):
                    line = content[: found.start()].count(b"\n") + 1
                    return Token(_KINDS[found.lastindex - 1], line)
            return None
