"""Become a command that ends when the process that started it ends.

Run as a script: `python -I -S launch.py PARENT SIGNAL USER GROUP COMMAND…` (USER and GROUP may be `-`). The kernel
then sends SIGNAL when the parent dies, however it dies (Linux, prctl(2) PR_SET_PDEATHSIG); elsewhere the next start
ends what is left. A `preexec_fn` would run Python between fork and exec, beside whatever threads there are.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop privileges, tie the process to its parent and exec the command; never returns."""
    parent, number, user, group, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if user != "-":
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    # After the change of user: the kernel forgets the wish when credentials change.
    if libc is not None and libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):  # it died before the line above
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the very purpose


if __name__ == "__main__":
    main(sys.argv[1:])
