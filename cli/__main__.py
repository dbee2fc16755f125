"""``python -m aioenv.cli`` is ``aioenv``."""

import sys

from aioenv.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
