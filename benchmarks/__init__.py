"""Speed, memory and size of aioenv beside a bare echo and OpenEnv, measured in one run."""

__all__: list[str] = []
