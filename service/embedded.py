"""The embedded service: an environment served on loopback from inside the client's own process."""

from functools import partial
from typing import Any, get_args, get_origin

from aioenv import State
from aioenv.service.app import create_app
from aioenv.service.environment import Environment
from aioenv.service.running import Server
from aioenv.service.service import EnvironmentFactory
from aioenv.service.settings import Settings

__all__ = ["EmbeddedService"]

_AS_GOOD_AS_NO_LIMIT = 65_536

# The client closes its connections before it stops its service, which then still has to hear of it.
_GRACE_S = 0.2


class EmbeddedService:
    """A launcher: `start` serves an environment on a free port of 127.0.0.1, `stop` ends it.

    Args:
        environment: the environment's class, or a callable that makes one.
        action: the class of its actions; by default what `environment` was declared with.
        observation: the class of its observations; by default the same.
        state: the class of its state; by default the same.
        settings: how to run; environment variables are not read.
        max_concurrent_envs: the most sessions at a time; by default what the settings say, and
            without settings as good as no limit.

    Attributes:
        lives_on_loop: it ends with the event loop that it was started on.
    """

    lives_on_loop = True

    def __init__(
        self,
        environment: EnvironmentFactory,
        action: type[Any] | None = None,
        observation: type[Any] | None = None,
        state: type[Any] | None = None,
        *,
        settings: Settings | None = None,
        max_concurrent_envs: int | None = None,
    ) -> None:
        declared = declared_models(environment)
        models = (action, observation, state)
        chosen = [model or default for model, default in zip(models, declared, strict=True)]
        if chosen[0] is None or chosen[1] is None:
            raise TypeError(
                f"the models of {environment!r} are not known; derive it from "
                "Environment[Action, Observation, State] with your own three classes"
            )
        self._make_app = partial(
            create_app,
            environment,
            chosen[0],
            chosen[1],
            state=chosen[2] or State,
            settings=settings or Settings(max_concurrent_envs=_AS_GOOD_AS_NO_LIMIT),
            max_concurrent_envs=max_concurrent_envs,
        )
        self._make_app()  # what does not fit is refused here, not at the start
        self._server: Server | None = None

    async def start(self) -> str:
        """Start to serve and return the address; it can be started anew after a stop."""
        server = Server(self._make_app(), "127.0.0.1", 0)
        url = await server.start()
        self._server = server
        return url

    async def stop(self) -> None:
        """End every session and stop; safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(_GRACE_S)


def declared_models(environment: Any) -> tuple[Any, Any, Any]:
    """Return the models that an environment's class was declared with, ``None`` for open ones."""
    for cls in getattr(environment, "__mro__", ()):
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Environment:
                models = [model if isinstance(model, type) else None for model in get_args(base)]
                return models[0], models[1], models[2]
    return None, None, None
