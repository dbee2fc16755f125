"""The script ``openenv``: ours, but where OpenEnv's own package is installed, theirs."""

import subprocess
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from aioenv.cli import openenv
from aioenv.cli.wheel import Wheel
from tests.hub.pushing import script_path
from tests.peer.provision import OPENENV_VERSION, Peer

COMMAND_TIMEOUT_S = 60.0
OPENENV_TIMEOUT_S = 240.0  # its package takes many seconds to install, and to import


def printed(command: list[str], timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Run a command that succeeds, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_is_ours_where_openenv_is_not_installed() -> None:
    """The script is installed with ours, and is the same command line under that name."""
    scripts = entry_points(group="console_scripts", name="openenv")
    assert [script.load() for script in scripts] == [openenv.main]
    assert printed([script_path("openenv"), "push", "--help"]).startswith("Usage: openenv push ")
    assert printed([script_path("openenv"), "--version"]).startswith("openenv, version ")


def test_exit_codes_are_ours(tmp_path: Path) -> None:
    """The script's exit code is the command's."""
    done = subprocess.run(
        [script_path("openenv"), "push"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 1
    assert "there is no openenv.yaml" in done.stderr


def test_openenv_that_cannot_be_imported(tmp_path: Path) -> None:
    """An installation of OpenEnv's that is broken is told in one line, with the way round it."""
    info = tmp_path / "openenv_core-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openenv_core\nVersion: 9\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nopenenv = no.such.module:main\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from aioenv.cli.openenv import main\nsys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: the command line of the package openenv_core cannot be imported "
        "(No module named 'no'); install it anew, or use `aioenv`\n"
    )


@pytest.mark.timeout(400, func_only=True)
def test_is_theirs_where_openenv_is_installed(peer: Peer, tmp_path: Path) -> None:
    """Whichever is installed last, ``openenv`` is OpenEnv's and ``aioenv`` ours."""
    bin_folder = _installed_beside(peer, tmp_path)
    assert "aioenv" in (bin_folder / "openenv").read_text()
    theirs = printed([str(bin_folder / "openenv"), "--help"], OPENENV_TIMEOUT_S)
    assert "harbor" in theirs  # a command of theirs alone
    # In the other order: OpenEnv's script takes the place of ours.
    _pip(bin_folder, "--no-deps", "--ignore-installed", f"openenv=={OPENENV_VERSION}")
    assert "aioenv" not in (bin_folder / "openenv").read_text()
    assert "harbor" not in printed([str(bin_folder / "aioenv"), "--help"])


def _installed_beside(peer: Peer, folder: Path) -> Path:
    """Install ours in an environment that has all of the peer's; the peer stays as it is."""
    venv = folder / "venv"
    printed([str(peer.python), "-I", "-m", "venv", "--without-pip", str(venv)])
    where = [str(peer.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    theirs = printed(where).strip()
    ours = sysconfig.get_path("purelib")
    (site_packages,) = venv.glob("lib/python*/site-packages")
    # What both need is there already, where both are of one Python.
    is_shared = site_packages.parent.name == Path(ours).parent.name
    (site_packages / "others.pth").write_text(f"{theirs}\n{ours}\n" if is_shared else theirs)
    wheel = Wheel.of_this()
    (folder / wheel.filename).write_bytes(wheel.content)
    options = ["--ignore-installed", *["--no-deps"] * is_shared]
    _pip(venv / "bin", *options, str(folder / wheel.filename))
    return venv / "bin"


def _pip(bin_folder: Path, *what: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(bin_folder / "python"), "--quiet"]
    printed([*pip, "--disable-pip-version-check", "install", *what], OPENENV_TIMEOUT_S)
