"""What the OpenAPI document promises, tried by schemathesis: examples, bounds, chance, series."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from aioenv import State
from tests.conftest import Serve
from tests.worlds.bazaar import Bazaar, Goods, Order
from tests.worlds.nim import Heap, NimEnvironment, NimState, Take
from tests.worlds.studio import Easel, Painting, Stroke, StudioEnvironment

ROOT = Path(__file__).parents[2]
TOKEN = "s3cret"

# A door that answers with a WebSocket is none that plain requests can try, and chance never finds
# the name of an MCP session to end.
COMMAND = [sys.executable, "-m", "schemathesis.cli", "run"]
for name in ("play", "mcp_socket", "end_mcp"):
    COMMAND += ["--exclude-operation-id", name]
COMMAND += ["--checks", "all", "--max-examples", "5", "--generation-deterministic", "--no-color"]


@pytest.mark.parametrize(
    ("environment", "models", "token"),
    [
        (StudioEnvironment, (Stroke, Painting, Easel), None),
        (NimEnvironment, (Take, Heap, NimState), TOKEN),
        (Bazaar, (Order, Goods, State), None),
    ],
    ids=["studio", "nim, with a token", "bazaar"],
)
async def test_schemathesis_finds_nothing(
    serve: Serve, tmp_path: Path, environment: Any, models: tuple[Any, Any, Any], token: str | None
) -> None:
    """No server error, no reply that the document does not tell, no bad request that is taken."""
    action, observation, state = models
    served = await serve(
        environment,
        action=action,
        observation=observation,
        state=state,
        token=token,
        max_concurrent_envs=1000,
    )
    access = ["--header", f"Authorization: Bearer {token}"] if token else []
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        f"{served.url}/openapi.json",
        *access,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.service.schemathesis_hooks",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = output.decode()
    assert process.returncode == 0, report
    assert "No issues found" in report, report
