"""Where the browser is, and how it is started."""

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser, Playwright

from tests.browser import deaf

__all__ = ["launch"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


async def launch(playwright: Playwright, folder: Path) -> Browser:
    """Start the Chromium that the variable ``CHROMIUM`` names, or that of the path.

    Without one the test is skipped; in CI it fails.

    Args:
        playwright: what drives it.
        folder: where to put what starts it.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        words = "there is no Chromium; `apt-get install chromium`, or name one in CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    starter = folder / "chromium"
    command = shlex.join([sys.executable, "-S", deaf.__file__, found])
    starter.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    starter.chmod(0o700)
    return await playwright.chromium.launch(executable_path=starter, args=_ARGUMENTS)
