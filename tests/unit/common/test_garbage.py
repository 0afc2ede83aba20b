"""When CPython looks at everything: by the clock alone. In a process of its own: it is a setting of the process."""

import subprocess
import sys

PROGRAM = """
import asyncio, gc, time, weakref
from common.garbage import collect_by_the_clock

class Node:
    pass

def fully():
    return gc.get_stats()[2]["collections"]

async def main():
    collecting = asyncio.create_task(collect_by_the_clock(0.0, 0.5))
    await asyncio.sleep(0.1)
    assert gc.get_freeze_count() > 1000
    before = fully()
    node = Node()
    node.itself, gone = node, weakref.ref(node)
    gc.collect(1)
    del node
    burst = [[] for _ in range(300_000)]
    assert fully() == before, "in the middle of a burst"
    await asyncio.sleep(0.8)
    assert (fully(), gone()) == (before + 1, None), "what is in a cycle was not collected"
    few = [[] for _ in range(30_000)]
    await asyncio.sleep(0.8)
    assert fully() == before + 1, "for a few new objects all are looked at"
    many = [[] for _ in range(300_000)]
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        await asyncio.sleep(0)
        time.sleep(0.05)
    assert fully() == before + 1, "while the loop is behind"
    await asyncio.sleep(0.8)
    assert fully() == before + 2, "not after the burst either"

asyncio.run(main())
"""


def test_full_collections_come_by_the_clock() -> None:
    """None while many objects are made at once, or while the loop is behind; few new objects bring none.

    Afterwards what is in a cycle goes.
    """
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
