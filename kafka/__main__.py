"""`python -m kafka` is `kafka-turbo`."""

import sys

from kafka.cli import main

if __name__ == "__main__":
    sys.exit(main())
