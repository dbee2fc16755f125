"""``python -m echo_env`` serves Echo."""

from aioenv.service import serve
from echo_env.app import app

if __name__ == "__main__":
    serve(app)
