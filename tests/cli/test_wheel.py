"""The wheel of the running aioenv: the same as pip's own, from each kind of installation."""

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("aioenv", "service", "client", "cli", "echo_env")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
TIMEOUT_S = 240.0

# pip makes wheels and installs them here: func_only.
pytestmark = pytest.mark.timeout(TIMEOUT_S, func_only=True)


def run(*command: object, cwd: Path) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def contents(wheel: bytes) -> dict[str, bytes]:
    """Return the files of a wheel, but for what names its maker, and the record of them."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return {
        name: text for name, text in files.items() if Path(name).name not in ("RECORD", "WHEEL")
    }


def test_wheel_is_pips_own(tmp_path: Path) -> None:
    """Installed as a wheel or editable, either way, ``init`` makes the wheel that pip makes.

    From the wheel and the strict installation, made from the same code, it is the same to the byte.
    """
    source = tmp_path / "source"
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip")
    # Built with the setuptools that is here, which each virtual environment finds as well.
    options = ("--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "wheel", *options, "--wheel-dir", tmp_path, source, cwd=tmp_path)
    (reference,) = tmp_path.glob("*.whl")
    shutil.rmtree(source / "build", ignore_errors=True)

    kinds: dict[str, list[object]] = {
        "wheel": [reference],
        "editable": ["--editable", source],
        "strict": ["--config-settings", "editable_mode=strict", "--editable", source],
    }
    made = {}
    for kind, what in kinds.items():
        venv = tmp_path / f"venv-{kind}"
        run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
        python = venv / "bin/python"
        # Our own dependencies will do.
        (packages,) = venv.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        install = (*pip, "--python", python, "install", "--ignore-installed")
        run(*install, *options, *what, cwd=tmp_path)
        run(python, "-m", "aioenv.cli", "init", "word_game", "-d", tmp_path / kind, cwd=tmp_path)
        (wheel,) = (tmp_path / kind / "wheels").iterdir()
        assert wheel.name == reference.name
        made[kind] = wheel.read_bytes()

    expected = contents(reference.read_bytes())
    for kind, wheel_bytes in made.items():
        found = contents(wheel_bytes)
        assert found.keys() == expected.keys(), kind
        assert [name for name in expected if found[name] != expected[name]] == [], kind
    assert made["wheel"] == made["strict"]
