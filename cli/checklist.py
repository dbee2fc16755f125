"""The checklist: what was checked, what came of it, and what to do; as lines or as JSON."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen

__all__ = ["Check", "Checklist", "Fault", "Skipped", "Verdict", "shown"]

Verdict: TypeAlias = Literal["pass", "fail", "skip"]

_STYLES: dict[Verdict, str] = {"pass": "green", "fail": "bold red", "skip": "yellow"}
_MOST_SHOWN = 160  # characters


class Fault(Exception):
    """What is checked is not as it should be.

    Args:
        detail: what is wrong, and where.
        advice: what to do.
    """

    def __init__(self, detail: str, advice: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.advice = advice


class Skipped(Fault):
    """What would be checked is not there, or cannot be checked now."""


@frozen
class Check:
    """One thing that was checked.

    Attributes:
        name: what it is called; it stays the same from one release to the next.
        verdict: what came of it.
        detail: what was seen.
        advice: what to do, or empty.
    """

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


@define
class Checklist:
    """All that was checked of one target.

    Attributes:
        target: the folder or the address.
        checks: the checks, in the order of their making.
    """

    target: str
    checks: list[Check] = field(factory=list)

    def run(self, name: str, check: Callable[[], str | tuple[str, str]]) -> None:
        """Make a check.

        Args:
            name: what it is called.
            check: returns what it saw, with an advice if it has one; raises `Fault` or `Skipped`.
        """
        try:
            seen = check()
        except Fault as fault:
            self._note(name, fault)
        else:
            self._note(name, seen)

    def fail(self, name: str, detail: str, advice: str) -> None:
        """Note that a check failed."""
        self._note(name, Fault(detail, advice))

    async def run_async(
        self,
        name: str,
        check: Callable[[], Awaitable[str | tuple[str, str]]],
        needs: tuple[str, ...] = (),
    ) -> None:
        """Make a check that waits for something, if those that it needs have passed."""
        missing = [need for need in needs if not self.has_passed(need)]
        if missing:
            self._note(name, Skipped(f"needs {' and '.join(missing)}"))
            return
        try:
            seen = await check()
        except Fault as fault:
            self._note(name, fault)
        else:
            self._note(name, seen)

    def has_passed(self, name: str) -> bool:
        """Whether a check was made, and passed."""
        return any(check.name == name and check.verdict == "pass" for check in self.checks)

    @property
    def verdict(self) -> Verdict:
        """What came of it all: ``fail`` where any check failed."""
        return "fail" if any(check.verdict == "fail" for check in self.checks) else "pass"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "target": self.target,
            "verdict": self.verdict,
            "checks": [
                {
                    "name": check.name,
                    "verdict": check.verdict,
                    "detail": check.detail,
                    "advice": check.advice or None,
                }
                for check in self.checks
            ],
        }

    def print_lines(self) -> None:
        """Print it on standard output, a line for each check, and one below for its advice."""
        from rich.console import Console
        from rich.text import Text

        console = Console()
        width = max((len(check.name) for check in self.checks), default=0) + 2
        for check in self.checks:
            style = _STYLES[check.verdict]
            name = (check.name.ljust(width), "bold")
            line = Text.assemble((f"{check.verdict}  ", style), name, check.detail)
            console.print(line, soft_wrap=True)
            if check.advice:
                margin = " " * (len("pass  ") + width)
                console.print(Text(f"{margin}→ {check.advice}"), soft_wrap=True)
        console.print(Text(self._summary(), _STYLES[self.verdict]), soft_wrap=True)

    def _summary(self) -> str:
        counts = {
            verdict: sum(check.verdict == verdict for check in self.checks)
            for verdict in ("fail", "pass", "skip")
        }
        words = f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped"
        return f"{self.target}: {words}"

    def _note(self, name: str, seen: str | tuple[str, str] | Fault) -> None:
        if isinstance(seen, Fault):
            verdict: Verdict = "skip" if isinstance(seen, Skipped) else "fail"
            self.checks.append(Check(name, verdict, seen.detail, seen.advice))
            return
        detail, advice = (seen, "") if isinstance(seen, str) else seen
        self.checks.append(Check(name, "pass", detail, advice))


def shown(value: Any) -> str:
    """Return a value as short JSON on one line; nothing in it can steer a terminal."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
