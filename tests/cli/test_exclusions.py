"""What is never uploaded, and what else stays: by names, by patterns, by contents."""

from pathlib import Path

import pytest

from aioenv.cli.errors import CommandFailed
from aioenv.cli.exclusions import select_files
from aioenv.cli.tokens import Token, find_token

# Put together, so that this file holds no token itself.
TOKENS = {
    "a private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "a Hugging Face token": "hf_" + "ab" * 17,
    "an Anthropic key": "sk-" + "ant-api03-" + "ab" * 20,
    "an OpenAI key": "sk-" + "proj-" + "ab" * 20,
    "a GitHub token": "github_" + "pat_" + "ab" * 30,
    "a GitLab token": "glpat" + "-" + "ab" * 10,
    "an AWS access key": "AKIA" + "AB" * 8,
    "a Google API key": "AIza" + "abcde" * 7,
    "a Slack token": "xoxb" + "-123456789012-abc",
    "a Stripe key": "sk_" + "live_" + "ab" * 12,
    "a SendGrid key": "SG." + "ab" * 11 + "." + "abc" * 15,
    "a PyPI token": "pypi-" + "AgE" + "ab" * 30,
    "an npm token": "npm_" + "ab" * 18,
    "a Docker Hub token": "dckr_" + "pat_" + "ab" * 14,
    "a Weights & Biases key": "wandb_" + "v1_" + "ab" * 20,
}


def fill(folder: Path, *names: str) -> Path:
    """Make files, and the folders on the way to them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".git/config", "version control"),
        ("sub/.git", "version control"),
        (".venv/bin/python", "a virtual environment"),
        ("__pycache__/a.pyc", "a cache"),
        ("a/b/__pycache__/c.pyc", "a cache"),
        (".mypy_cache/x", "a cache"),
        ("node_modules/x/index.js", "a cache"),
        (".env", "may hold secrets"),
        (".ENV.local", "may hold secrets"),
        ("prod.env", "may hold secrets"),
        ("a/.netrc", "may hold secrets"),
        (".ssh/config", "may hold secrets"),
        ("service_account-prod.json", "may hold secrets"),
        ("secrets/openai.txt", "may hold secrets"),
        ("a/secrets.txt", "may hold secrets"),
        ("credentials", "may hold secrets"),
        ("credentials.yml", "may hold secrets"),
        ("token.json", "may hold secrets"),
        ("token.pickle", "may hold secrets"),
        ("infra/prod.tfstate", "may hold secrets"),
        ("prod.tfstate.backup", "may hold secrets"),
        ("tls/server.key", "a key"),
        ("id_ed25519", "a key"),
        ("cert.PEM", "a key"),
    ],
)
def test_never(tmp_path: Path, name: str, why: str) -> None:
    """Secrets and rubbish stay, wherever they are, and no pattern brings them along."""
    fill(tmp_path, name, "kept.py", "all.txt")
    (tmp_path / "all.txt").write_text("!*\n!.*\n")
    selection = select_files(tmp_path, exclude=Path("all.txt"))
    assert set(selection.files) == {"kept.py", "all.txt"}
    assert list(selection.left_out.values()) == [why]


def test_virtual_environment_of_any_name(tmp_path: Path) -> None:
    """A virtual environment is known by what is in it."""
    fill(tmp_path, "py311/pyvenv.cfg", "py311/bin/activate")
    assert select_files(tmp_path).left_out == {"py311/": "a virtual environment"}


def test_hidden_files_stay_by_default(tmp_path: Path) -> None:
    """Hidden files stay, but for those that a build reads; patterns may bring them along."""
    fill(
        tmp_path,
        ".dockerignore",
        "t/.gitignore.template",
        ".editorconfig",
        ".streamlit/config.toml",
        "build/x",
        "a/build/y",
    )
    selection = select_files(tmp_path)
    assert set(selection.files) == {".dockerignore", "a/build/y", "t/.gitignore.template"}
    assert selection.left_out == {
        ".editorconfig": "hidden",
        ".streamlit/": "hidden",
        "build/": "made by a build",
    }
    (tmp_path / "wanted").write_text("!.streamlit\n/a\n")
    selection = select_files(tmp_path, exclude=tmp_path / "wanted")
    assert ".streamlit/config.toml" in selection.files
    assert selection.left_out["a/"] == "excluded by you"


def test_what_git_ignores_stays(tmp_path: Path) -> None:
    """The ``.gitignore`` files from the repository's top downwards count, with their exceptions."""
    fill(tmp_path, ".git/HEAD", "envs/chess/a.log", "envs/chess/keep.log", "envs/chess/data/x.csv")
    fill(tmp_path, "envs/chess/out/y", "envs/chess/data/out/z")
    (tmp_path / ".gitignore").write_text("*.log\n/envs/*/out\n")
    (tmp_path / "envs/chess/.gitignore").write_text("!keep.log\n")
    (tmp_path / "envs/chess/data/.gitignore").write_text("*.csv\n")
    selection = select_files(tmp_path / "envs/chess")
    assert set(selection.files) == {"keep.log", "data/out/z"}
    ignored = {name for name, why in selection.left_out.items() if why == "ignored by .gitignore"}
    assert ignored == {"a.log", "out/", "data/x.csv"}


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    """A link inside the folder is followed, one that leads out or to a folder is not."""
    folder = fill(tmp_path / "env", "data/a.txt", ".env")
    (tmp_path / "private.txt").write_text("x")
    (folder / "in.txt").symlink_to("data/a.txt")
    (folder / "out.txt").symlink_to("../private.txt")
    (folder / "folder").symlink_to("data")
    (folder / "secret.txt").symlink_to(".env")
    (folder / "broken.txt").symlink_to("nothing")
    selection = select_files(folder)
    assert set(selection.files) == {"data/a.txt", "in.txt"}
    assert selection.left_out == {
        ".env": "may hold secrets",
        "out.txt": "a link out of the folder",
        "folder": "a link to a folder",
        "secret.txt": "may hold secrets",
        "broken.txt": "no file",
    }


def test_patterns_cannot_be_read(tmp_path: Path) -> None:
    """A file of patterns that is not there, or is no text, is told."""
    with pytest.raises(CommandFailed, match="there is no file 'nothing' for --exclude"):
        select_files(tmp_path, exclude=Path("nothing"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandFailed, match=r"the patterns of .*binary cannot be read"):
        select_files(tmp_path, exclude=Path("binary"))


@pytest.mark.parametrize("kind", TOKENS)
def test_token_is_found(tmp_path: Path, kind: str) -> None:
    """A token is found wherever in a file it is, and told by its kind and line."""
    file = tmp_path / "notes.txt"
    file.write_text(f"one\n\nkey: {TOKENS[kind]}\nfour\n")
    assert find_token(file) == Token(kind, 3)
    file.write_bytes(b"\x00\xff" * 500_000 + b" " + TOKENS[kind].encode())
    assert find_token(file) == Token(kind, 1)


@pytest.mark.parametrize("token", ["hf_oauth_" + "eyJ.a-b_" * 9, "api_org_" + "ab" * 17])
def test_each_token_of_hugging_face_is_found(tmp_path: Path, token: str) -> None:
    """So are a login's and an organization's, which begin in another way."""
    (tmp_path / "notes.txt").write_text(token)
    assert find_token(tmp_path / "notes.txt") == Token("a Hugging Face token", 1)


def test_token_behind_a_placeholder_is_found(tmp_path: Path) -> None:
    """What is shown in a token's place is none, and hides none that comes after it."""
    file = tmp_path / "README.md"
    file.write_text("export HF_TOKEN=hf_" + "x" * 34 + "\n")
    assert select_files(tmp_path).files == {"README.md": file}
    file.write_text(file.read_text() + "export HF_TOKEN=" + TOKENS["a Hugging Face token"])
    with pytest.raises(CommandFailed, match=r"README\.md, line 2, holds a Hugging Face token"):
        select_files(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf_token = os.environ['HF_TOKEN']",
        "sk-learn and task-force",
        "-----BEGIN PUBLIC KEY-----",
        "AKIA is a prefix",
        "def hf_" + "a_" * 30 + "(): ...",
        "https://xoxb.example",
    ],
    ids=range(7),
)
def test_prose_is_no_token(tmp_path: Path, text: str) -> None:
    """What only looks a little like a token is none."""
    file = tmp_path / "notes.txt"
    file.write_text(text)
    assert find_token(file) is None
