"""The settings: one table of names, variables, defaults and checks."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from aioenv.service import SERVICE, Service, Settings, create_app
from tests.conftest import Serve
from tests.environments import AsyncWorld, Census, Heard, Word, populate
from tests.service.conftest import Connect

GIVEN: dict[str, tuple[str, Any]] = {
    "AIOENV_HOST": ("::1", "::1"),
    "AIOENV_PORT": ("0", 0),
    "MAX_CONCURRENT_ENVS": ("7", 7),
    "AIOENV_MAX_WAITING": ("0", 0),
    "AIOENV_MAX_WAIT_S": ("1.5", 1.5),
    "AIOENV_MAX_MCP_CLIENTS": ("9", 9),
    "AIOENV_STEP_TIMEOUT_S": ("0", 0.0),
    "AIOENV_IDLE_TIMEOUT_S": ("3", 3.0),
    "AIOENV_HTTP_IDLE_TIMEOUT_S": ("4", 4.0),
    "AIOENV_HEARTBEAT_S": ("0.5", 0.5),
    "AIOENV_MAX_MESSAGE_SIZE_MB": ("0.25", 0.25),
    "AIOENV_CLOSE_TIMEOUT_S": ("6", 6.0),
    "AIOENV_SHUTDOWN_GRACE_S": ("0", 0.0),
    "AIOENV_IDLE_EXIT_S": ("120", 120.0),
    "AIOENV_WORKER_THREADS": ("8", 8),
    "AIOENV_MAX_STRAGGLERS": ("0", 0),
    "AIOENV_ALLOWED_ORIGINS": (" https://a.test, ,http://b ", ("https://a.test", "http://b")),
    "AIOENV_TOKEN": ("s3cret", "s3cret"),
    "AIOENV_LOG_FORMAT": ("json", "json"),
    "AIOENV_LOG_LEVEL": ("warning", "warning"),
    "AIOENV_LOG_ACTIONS": ("Yes", True),
    "ENV_README_PATH": ("docs/README.md", Path("docs/README.md")),
    "SPACE_HOST": ("me-world.hf.space", "me-world.hf.space"),
    "ENABLE_WEB_INTERFACE": ("no", False),
}


def test_every_setting_has_a_variable_and_a_meaning() -> None:
    """The table is complete, and no two settings share a variable."""
    fields = attrs.fields(Settings)
    variables = [attribute.metadata["variable"] for attribute in fields]
    assert len(set(variables)) == len(variables)
    assert all(attribute.metadata["help"] for attribute in fields)
    assert all(attribute.default is not attrs.NOTHING for attribute in fields)


@pytest.mark.parametrize("variable", GIVEN)
def test_each_variable_is_read(variable: str) -> None:
    """Each sets the one setting that it stands for, in the setting's own type."""
    text, value = GIVEN[variable]
    settings = Settings.from_environ({variable: text})
    changed = {
        attribute.metadata["variable"]: getattr(settings, attribute.name)
        for attribute in attrs.fields(Settings)
        if getattr(settings, attribute.name) != getattr(Settings(), attribute.name)
    }
    assert changed == {variable: value}
    assert type(changed[variable]) is type(value)


def test_all_variables_are_tried() -> None:
    """The test above has a value for every one of them."""
    assert GIVEN.keys() == {field.metadata["variable"] for field in attrs.fields(Settings)}


@pytest.mark.parametrize("variable", GIVEN)
def test_an_empty_variable_counts_as_absent(variable: str) -> None:
    """Container tools set what they do not know to nothing."""
    assert Settings.from_environ({variable: ""}) == Settings()


def test_an_argument_outdoes_a_variable() -> None:
    """What is given in code holds, and a variable that does not fit is then no error."""
    settings = Settings.from_environ({"MAX_CONCURRENT_ENVS": "many"}, max_concurrent_envs=3)
    assert settings.max_concurrent_envs == 3


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MAX_CONCURRENT_ENVS", "many"),
        ("MAX_CONCURRENT_ENVS", "0"),
        ("MAX_CONCURRENT_ENVS", "1.5"),
        ("AIOENV_PORT", "-1"),
        ("AIOENV_PORT", "65536"),
        ("AIOENV_MAX_WAIT_S", "0"),
        ("AIOENV_MAX_WAIT_S", "inf"),
        ("AIOENV_STEP_TIMEOUT_S", "-1"),
        ("AIOENV_STEP_TIMEOUT_S", "nan"),
        ("AIOENV_STEP_TIMEOUT_S", "inf"),
        ("AIOENV_STEP_TIMEOUT_S", "5 s"),
        ("AIOENV_IDLE_TIMEOUT_S", "-0.1"),
        ("AIOENV_HTTP_IDLE_TIMEOUT_S", "0"),
        ("AIOENV_HEARTBEAT_S", "0"),
        ("AIOENV_HEARTBEAT_S", "inf"),
        ("AIOENV_MAX_MESSAGE_SIZE_MB", "0"),
        ("AIOENV_MAX_MESSAGE_SIZE_MB", "inf"),
        ("AIOENV_MAX_MESSAGE_SIZE_MB", "4096"),
        ("AIOENV_CLOSE_TIMEOUT_S", "0"),
        ("AIOENV_CLOSE_TIMEOUT_S", "inf"),
        ("AIOENV_SHUTDOWN_GRACE_S", "-1"),
        ("AIOENV_SHUTDOWN_GRACE_S", "inf"),
        ("AIOENV_IDLE_EXIT_S", "-1"),
        ("AIOENV_IDLE_EXIT_S", "inf"),
        ("AIOENV_WORKER_THREADS", "0"),
        ("AIOENV_MAX_STRAGGLERS", "-1"),
        ("AIOENV_MAX_WAITING", "-1"),
        ("AIOENV_LOG_FORMAT", "xml"),
        ("AIOENV_LOG_LEVEL", "loud"),
        ("AIOENV_LOG_ACTIONS", "perhaps"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(variable: str, text: str) -> None:
    """The sentence has the variable, its value and what would fit."""
    with pytest.raises(ValueError, match=f"^{variable}='{text}' does not fit: .") as error:
        Settings.from_environ({variable: text})
    assert error.value.__cause__ is None


@pytest.mark.parametrize("number", [0, -1])
def test_an_argument_that_does_not_fit_is_refused(number: int) -> None:
    """The checks hold for code as well."""
    with pytest.raises(ValueError, match="max_concurrent_envs"):
        Settings(max_concurrent_envs=number)


def test_settings_do_not_change() -> None:
    """They are frozen; `attrs.evolve` makes others."""
    settings = Settings()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
    assert attrs.evolve(settings, port=1).port == 1


def test_the_message_limit_is_100_mib() -> None:
    """The default is OpenEnv's."""
    assert Settings().max_message_size_bytes == 100 * 1024 * 1024
    assert Settings(max_message_size_mb=0.5).max_message_size_bytes == 512 * 1024


def test_create_app_reads_the_variables(census: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings they come from the environment variables, and an argument outdoes them."""
    monkeypatch.setenv("MAX_CONCURRENT_ENVS", "7")
    world = populate(census, AsyncWorld)
    assert create_app(world, Word, Heard)[SERVICE].pool.limit == 7
    assert create_app(world, Word, Heard, max_concurrent_envs=3)[SERVICE].pool.limit == 3
    assert create_app(world, Word, Heard, settings=Settings())[SERVICE].pool.limit == 64


async def test_a_service_is_configured_before_its_first_session(
    serve: Serve, connect: Connect, census: Census
) -> None:
    """Other settings may be taken until then, and are an error afterwards."""
    served = await serve(populate(census, AsyncWorld))
    service: Service = served.service
    service.configure(Settings(max_concurrent_envs=3))
    assert repr(service) == "<Service AsyncWorld <SessionPool active=0 waiting=0 limit=3>>"
    await (await connect(served)).echoes()
    with pytest.raises(RuntimeError, match=r"^a service cannot be configured once it was used$"):
        service.configure(Settings())


@pytest.mark.parametrize("token", ["s3cret\n", " s3cret\r\n"])
def test_a_token_is_read_without_the_space_around_it(token: str) -> None:
    """A file that holds it ends with a newline, which no client sends."""
    assert Settings.from_environ({"AIOENV_TOKEN": token}).token == "s3cret"
    assert Settings(token=token).token == "s3cret"


def test_an_origin_is_kept_as_browsers_say_it() -> None:
    """In lower case, without a slash at its end."""
    settings = Settings(allowed_origins=("https://A.org/", "*"))
    assert settings.allowed_origins == ("https://a.org", "*")


def test_blank_token_is_refused() -> None:
    """Whoever sets a token means to keep others out: a blank one must not let them in."""
    with pytest.raises(ValueError, match=r"^the token \(AIOENV_TOKEN\) is blank$"):
        Settings.from_environ({"AIOENV_TOKEN": " \n"})
