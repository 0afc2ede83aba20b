"""Looking after a running stack: what dies is started again, a few times."""

import asyncio
from collections import Counter

from local_stack.console import Console
from local_stack.errors import StackError
from local_stack.health import explain_end
from local_stack.stack import Stack

LOOK_SECONDS = 0.2
RESTARTS = 3
FIRST_PAUSE_SECONDS = 0.5


async def watch(stack: Stack, console: Console, first_pause: float = FIRST_PAUSE_SECONDS) -> None:
    """Start again what dies, after pauses that double; runs until it is cancelled.

    Raises:
        StackError: a process died for the fourth time, or did not come back.
    """
    restarts: Counter[str] = Counter()
    while True:
        for name in _dead(stack):
            console.error(explain_end(stack.members[name].process, "while the stack was running"))
            if restarts[name] == RESTARTS:
                raise StackError(f"{name} was started again {RESTARTS} times and died each time.")
            pause = first_pause * 2 ** restarts[name]
            restarts[name] += 1
            console.say(f"Starting {name} again in {pause:g} s ({restarts[name]} of {RESTARTS}).")
            await asyncio.sleep(pause)
            await _start_again(stack, name, console)
        await asyncio.sleep(LOOK_SECONDS)


async def _start_again(stack: Stack, name: str, console: Console) -> None:
    try:
        await stack.start(name)
    except StackError:
        if stack.members[name].process.running:
            raise
        return  # it died again: the next look says so
    console.say(f"{name} is back.")


def _dead(stack: Stack) -> list[str]:
    return [name for name, member in stack.members.items() if member.process.wanted and not member.process.running]
