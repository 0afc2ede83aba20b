"""`python -m local_stack`."""

import signal

# Until the runner listens for it, Ctrl-C ends the process plainly: nothing has been opened yet.
signal.signal(signal.SIGINT, signal.SIG_DFL)

if __name__ == "__main__":
    import sys

    from local_stack.cli import main

    sys.exit(main())
