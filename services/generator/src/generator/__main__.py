"""`python -m generator serve|migrate`."""

import sys

from generator.main import main

sys.exit(main())
