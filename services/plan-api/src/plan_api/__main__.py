"""`python -m plan_api serve|migrate`."""

import sys

from plan_api.main import main

if __name__ == "__main__":
    sys.exit(main())
