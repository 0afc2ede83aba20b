"""Before anything is started: would every service take its settings?"""

import json
import tempfile
from pathlib import Path

from local_stack import services
from local_stack.errors import StackError
from local_stack.health import explain_end
from local_stack.processes import Hurry, Process, to_the_end
from local_stack.settings import StackSettings

_SECONDS = 30
_FAULTS_FOUND = 2


async def check_settings(settings: StackSettings, addresses: services.Addresses, log: Path, hurry: Hurry) -> None:
    """Ask each kind of program once.

    Raises:
        StackError: all the settings that are missing or wrong, and whose they are.
    """
    process = Process(services.validation_command(settings), log, hurry)
    # A file and not a pipe, which holds less than some environments; it has no name, since there are secrets in it.
    with tempfile.TemporaryFile() as wanted:
        wanted.write(json.dumps(services.to_validate(settings, addresses)).encode())
        wanted.seek(0)
        process.start(wanted)
    try:
        ended = await process.wait(_SECONDS)
    finally:
        await to_the_end(process.stop())
    if process.exit_code == _FAULTS_FOUND:
        faults = "\n".join(f"  {line}" for line in process.tail(100).splitlines())
        raise StackError(f"These settings are missing or wrong (set them in the environment):\n{faults}")
    if process.exit_code != 0:
        raise StackError(explain_end(process, "before it was done" if ended else f"after {_SECONDS} s"))
