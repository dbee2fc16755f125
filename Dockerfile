# Echo as a container: `docker build -t echo-env:latest .`, and what a Hugging Face Space builds.
# Any image like Debian's with Python 3.11 or later and its `venv` will do as the base; only the
# virtual environment moves into the final stage, so that neither compilers nor caches weigh on it.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
USER root

# The installer lives apart: what it installs into has neither pip nor setuptools.
RUN python3 -m venv /opt/installer && python3 -m venv --without-pip /opt/aioenv
WORKDIR /src

# First the dependencies alone, so that a change of the code does not download them again.
COPY setup.cfg pyproject.toml ./
RUN python3 -c "import configparser; c = configparser.RawConfigParser(); c.read('setup.cfg'); \
print(c['options']['install_requires'])" > requirements.txt \
 && /opt/installer/bin/pip --python /opt/aioenv/bin/python install \
    --no-cache-dir --no-compile --disable-pip-version-check -r requirements.txt
COPY . .
RUN /opt/installer/bin/pip --python /opt/aioenv/bin/python install \
    --no-cache-dir --no-compile --disable-pip-version-check --no-deps . \
 && install -D -m 644 -t /opt/aioenv/share/echo_env README.md service/healthcheck.py

# Bytecode for what a start imports. The official images come without that of the standard library,
# and whoever may not write would compile it again at every start: hence a tree of its own for all.
ENV PYTHONPYCACHEPREFIX=/opt/aioenv/bytecode
RUN /opt/aioenv/bin/python -m compileall -q /opt/aioenv/lib \
 && /opt/aioenv/bin/python -c "import aioenv.cli, echo_env.app, uvloop"


FROM ${BASE_IMAGE}

USER root
RUN getent passwd 1000 || useradd --no-log-init --create-home --uid 1000 aioenv
COPY --from=build /opt/aioenv /opt/aioenv
WORKDIR /opt/aioenv

# Every session ends well within the ten seconds that Docker waits before it kills.
ENV PATH=/opt/aioenv/bin:$PATH \
    PYTHONPYCACHEPREFIX=/opt/aioenv/bytecode \
    PYTHONUNBUFFERED=1 \
    AIOENV_HOST=0.0.0.0 \
    AIOENV_PORT=8000 \
    AIOENV_SHUTDOWN_GRACE_S=0.5 \
    AIOENV_CLOSE_TIMEOUT_S=5 \
    ENV_README_PATH=/opt/aioenv/share/echo_env/README.md

USER 1000
EXPOSE 8000
# The first process of a container ignores SIGTERM until it handles it, which Python does for SIGINT
# from its first moment: so a container also stops at once while it still starts.
STOPSIGNAL SIGINT
# The check itself awaits the start, for 30 s. With a start period, newer Dockers would put it off for
# five seconds.
HEALTHCHECK --interval=1s --timeout=60s --retries=1 \
    CMD ["python", "-S", "/opt/aioenv/share/echo_env/healthcheck.py", "--watch", "30"]
CMD ["aioenv", "serve", "echo_env.app:app"]
