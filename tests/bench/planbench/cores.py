"""Which core does what: the product with its servers on one, all that measures it on another."""

import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Cores:
    """Two of the machine's cores."""

    product: int
    load: int

    @property
    def shared(self) -> bool:
        """Whether there is only one, so that the load disturbs what it measures."""
        return self.product == self.load

    @classmethod
    def choose(cls) -> "Cores":
        """The first and the second that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[min(1, len(usable) - 1)])


def run_on(core: int) -> None:
    """Move this thread; processes that it starts from now on inherit it (sched_setaffinity(2))."""
    os.sched_setaffinity(0, {core})


def strays(pids: list[int], core: int) -> list[int]:
    """Processes of these, with their children, that may run elsewhere than on `core`."""
    processes = [psutil.Process(pid) for pid in pids]
    children = [child for process in processes for child in process.children(recursive=True)]
    return [process.pid for process in (*processes, *children) if process.cpu_affinity() != [core]]
