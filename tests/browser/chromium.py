"""Where the browser is, and how it is started."""

import os
import shutil

import pytest
from playwright.async_api import Browser, Playwright

__all__ = ["launch"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


async def launch(playwright: Playwright) -> Browser:
    """Start the Chromium that the variable ``CHROMIUM`` names, or that of the path.

    Without one the test is skipped; in CI it fails.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        words = "there is no Chromium; `apt-get install chromium`, or name one in CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    return await playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
