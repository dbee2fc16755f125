"""``aioenv validate FOLDER``: what is made with our tools passes; each gap has a finding."""

import json
from pathlib import Path
from typing import Any

import pytest

from aioenv.cli import main
from tests.peer.provision import Peer

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]

MANIFEST = """\
spec_version: 1
name: parrot
version: 0.1.0
type: space
runtime: aiohttp
app: worlds:app
port: 8000
"""
VALIDATION = """\
validation:
  reward: {range: [0.0, 1.0], oracle_tolerance: 0.0, floor_margin: 0.1}
  resources: {cpu: 1.0, memory_mb: 256, disk_mb: 64, episode_timeout_s: 60}
  execution: {kind: openenv_ws, probe_path: probe.json, dockerfile: Dockerfile, context: .}
"""
README = "---\nsdk: docker\napp_port: 8000\nbase_path: /web\ntags: [openenv]\n---\n# Parrot\n"
FILES = {
    "openenv.yaml": MANIFEST + VALIDATION,
    "probe.json": '{"plan_schema_version": "1", "reset": {}, "actions": [{"do": "it"}]}',
    "Dockerfile": "FROM python:3.13-slim\n",
    "README.md": README,
    "client.py": "",
    "tests/test_parrot.py": "",
}


def judged(capsys: Capture, folder: Path) -> tuple[int, dict[str, Any]]:
    """Validate a folder; return the exit code and the checks by their names."""
    code = main(["validate", str(folder), "--json"])
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report["verdict"] == ("fail" if code else "pass")
    return code, {check["name"]: check for check in report["checks"]}


def verdicts(checks: dict[str, Any]) -> dict[str, str]:
    """Return the checks that did not simply pass."""
    return {name: check["verdict"] for name, check in checks.items() if check["verdict"] != "pass"}


@pytest.fixture
def parrot(folder: Path) -> Path:
    """Return a folder with nothing to complain about."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def test_whole_folder_passes(parrot: Path, capsys: Capture) -> None:
    """A folder that has everything passes every check."""
    code, checks = judged(capsys, parrot)
    assert (code, verdicts(checks)) == (0, {}), checks
    assert not any(check["advice"] for check in checks.values())


def test_this_repository_passes(capsys: Capture) -> None:
    """So does the reference environment."""
    code, checks = judged(capsys, ROOT)
    assert (code, verdicts(checks)) == (0, {}), checks


def test_what_init_makes_passes(folder: Path, capsys: Capture) -> None:
    """So does a new environment."""
    assert main(["init", "word_game"]) == 0
    capsys.readouterr()
    code, checks = judged(capsys, folder / "word_game")
    assert (code, verdicts(checks)) == (0, {}), checks


def test_what_openenv_makes_passes(peer: Peer, capsys: Capture) -> None:
    """So does what OpenEnv's own `init` made; its application is read, and not imported."""
    code, checks = judged(capsys, peer.project)
    assert (code, verdicts(checks)) == (0, {"tests": "skip"}), checks
    assert "an application of OpenEnv's" in checks["app"]["detail"]


@pytest.mark.parametrize(
    ("name", "text", "check", "words"),
    [
        ("openenv.yaml", None, "manifest", "there is no openenv.yaml"),
        ("openenv.yaml", "a: [\n", "manifest", "cannot be read"),
        ("openenv.yaml", "- 1\n", "manifest", "holds no entries"),
        ("openenv.yaml", MANIFEST.replace("name: parrot\n", ""), "manifest", "name is missing"),
        ("openenv.yaml", MANIFEST.replace("parrot", '"a b"'), "manifest", 'name is "a b"'),
        ("openenv.yaml", MANIFEST.replace("n: 1", "n: 2"), "manifest", "spec_version is 2"),
        ("openenv.yaml", MANIFEST.replace("space", "spice"), "manifest", 'type is "spice"'),
        ("openenv.yaml", MANIFEST.replace("0.1.0", "0.1"), "manifest", "version is 0.1"),
        ("openenv.yaml", MANIFEST + "variables: [A]\n", "manifest", 'variables is ["A"]'),
        ("openenv.yaml", MANIFEST.replace("s:app", "s:apt"), "app", "did you mean 'app'?"),
        ("openenv.yaml", MANIFEST.replace("s:app", "s:World"), "app", "is an environment"),
        ("openenv.yaml", MANIFEST.replace("worlds:", "word:"), "app", "there is no module 'word'"),
        ("openenv.yaml", MANIFEST + "validation: 3\n", "validation", "validation is 3"),
        (
            "openenv.yaml",
            MANIFEST + VALIDATION.replace("[0.0, 1.0]", "[1.0, 0.0]"),
            "validation",
            "validation.reward.range is [1.0, 0.0]",
        ),
        (
            "openenv.yaml",
            MANIFEST + VALIDATION.replace("256", "lots"),
            "validation",
            'validation.resources.memory_mb is "lots"',
        ),
        (
            "openenv.yaml",
            MANIFEST + VALIDATION.replace(": Dockerfile", ": Dickerfile"),
            "validation",
            "Dickerfile",
        ),
        ("probe.json", None, "validation", "probe.json cannot be read"),
        ("probe.json", '{"actions": 3}', "validation", "holds no episode to play"),
        ("worlds.py", "app = = 3\n", "app", "invalid syntax"),
        ("worlds.py", "import fastapi\nother = 3\n", "app", "defines no 'app'"),
        ("worlds.py", "import openenv\napp = = 3\n", "app", "cannot be"),
        ("Dockerfile", None, "dockerfile", "there is no Dockerfile"),
        ("Dockerfile", "# nothing\n", "dockerfile", "builds on nothing"),
        ("openenv.yaml", MANIFEST + "dockerfile: a/b\n", "dockerfile", "there is no a/b in"),
        ("openenv.yaml", MANIFEST + "dockerfile: 3\n", "manifest", "dockerfile is 3"),
        ("README.md", README.replace("docker", "gradio"), "readme", 'says sdk: "gradio"'),
        ("README.md", README.replace("8000", "7860"), "readme", "says app_port: 7860"),
        ("README.md", README.replace("/web", "web"), "readme", 'says base_path: "web"'),
        ("README.md", "---\na: [\n---\n", "readme", "front matter of README.md cannot be read"),
    ],
    ids=lambda value: None if value and "\n" in str(value) else str(value),
)
def test_each_gap_is_found(
    parrot: Path, name: str, text: str | None, check: str, words: str, capsys: Capture
) -> None:
    """A folder with one thing wrong fails one check, which says what, where, and what to do."""
    (parrot / name).unlink()
    if text is not None:
        (parrot / name).write_text(text)
    code, checks = judged(capsys, parrot)
    assert code == 1
    failed = [name for name, verdict in verdicts(checks).items() if verdict == "fail"]
    assert failed == [check], checks
    assert words in checks[check]["detail"] + (checks[check]["advice"] or ""), checks[check]
    assert checks[check]["advice"]


def test_dockerfile_where_the_manifest_has_it(parrot: Path, capsys: Capture) -> None:
    """The entry ``dockerfile`` is known, and says where to look, as for a build and a push."""
    (parrot / "docker").mkdir()
    (parrot / "Dockerfile").rename(parrot / "docker/Dockerfile")
    (parrot / "openenv.yaml").write_text(
        FILES["openenv.yaml"].replace(": Dockerfile", ": docker/Dockerfile")
        + "dockerfile: docker/Dockerfile\n"
    )
    code, checks = judged(capsys, parrot)
    assert (code, verdicts(checks)) == (0, {}), checks
    assert checks["dockerfile"]["detail"] == "docker/Dockerfile is there"
    assert checks["manifest"]["advice"] is None


def test_dockerfile_that_cannot_be_read(parrot: Path, capsys: Capture) -> None:
    """What the system does not let anybody read is a finding, and no end of the checking."""
    (parrot / "Dockerfile").unlink()
    (parrot / "Dockerfile").symlink_to("/proc/self/mem")
    code, checks = judged(capsys, parrot)
    assert (code, verdicts(checks)) == (1, {"dockerfile": "fail"}), checks
    assert "Dockerfile cannot be read: Input/output error" in checks["dockerfile"]["detail"]


@pytest.mark.parametrize(
    ("name", "text", "check", "advice"),
    [
        ("README.md", None, "readme", "aioenv push"),
        ("README.md", "# Parrot\n", "readme", "aioenv push"),
        ("client.py", None, "client", "typed actions"),
        ("tests/test_parrot.py", None, "tests", "pytest"),
        ("openenv.yaml", MANIFEST, "validation", "openenv validate"),
    ],
    ids=["readme", "front matter", "client", "tests", "validation"],
)
def test_what_may_be_missing(
    parrot: Path, name: str, text: str | None, check: str, advice: str, capsys: Capture
) -> None:
    """What an environment can do without is skipped, with an advice."""
    (parrot / name).unlink()
    if text is not None:
        (parrot / name).write_text(text)
    code, checks = judged(capsys, parrot)
    assert (code, verdicts(checks)) == (0, {check: "skip"})
    assert advice in checks[check]["advice"]


def test_advice_where_it_passes(parrot: Path, capsys: Capture) -> None:
    """A misspelt entry and a lacking tag are told, and fail nothing."""
    (parrot / "openenv.yaml").write_text(MANIFEST + "varables: {A: 1}\n")
    (parrot / "README.md").write_text(README.replace("[openenv]", "[parrot]"))
    code, checks = judged(capsys, parrot)
    assert code == 0
    assert "did you mean 'variables'?" in checks["manifest"]["advice"]
    assert "the tag openenv" in checks["readme"]["detail"]
