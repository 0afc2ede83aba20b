"""`python -m planbench`."""

import sys

from planbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
