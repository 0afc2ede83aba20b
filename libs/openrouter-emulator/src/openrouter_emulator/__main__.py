"""`python -m openrouter_emulator`."""

import sys

from openrouter_emulator.main import main

sys.exit(main())
