"""`python -m benchmarks` runs the driver."""

import sys

from benchmarks.driver import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
