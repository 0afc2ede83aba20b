"""Which system user PostgreSQL runs as: it refuses root, so a root's stack needs another one."""

import os
import pwd
import stat
from pathlib import Path

from local_stack.errors import StackError
from local_stack.processes import Account

_PASS = stat.S_IXOTH
_READ = stat.S_IROTH | stat.S_IXOTH


def postgres_account(data: Path) -> Account | None:
    """None for an ordinary user, who runs it as himself. For root: whoever owns the data, at first `nobody`.

    Raises:
        StackError: the data is another user's.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in {None, os.geteuid()}:
            raise StackError(f"{data} belongs to another user (uid {owner}); run as that user or root, or remove it.")
        return None
    entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def give(path: Path, account: Account | None) -> None:
    """Make it the account's own."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def let_pass(account: Account, *places: Path) -> str | None:
    """Let the account pass through (not read) the folders above, and say which were closed so far."""
    opened = []
    for folder in {each for place in places for each in place.parents}:
        status = folder.stat()
        if not status.st_mode & _PASS and status.st_uid != account.uid:
            folder.chmod(stat.S_IMODE(status.st_mode) | _PASS)
            opened.append(str(folder))
    if not opened:
        return None
    return f"PostgreSQL does not run as root: others may now pass through (not read) {', '.join(sorted(opened))}"


def let_read(folder: Path) -> None:
    """Let everybody read an installed folder that a strict umask closed."""
    if not folder.exists() or folder.stat().st_mode & _READ == _READ:
        return
    for each in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(each.stat().st_mode)
        each.chmod(mode | (_READ if mode & stat.S_IXUSR else stat.S_IROTH))
