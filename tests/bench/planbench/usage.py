"""What processes have used: CPU seconds and memory, each with its children, by name."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """At one moment. CPU in seconds (user and system), memory in KiB."""

    at: float
    cpu: dict[str, float]
    memory: dict[str, int]

    def since(self, before: "Usage") -> dict[str, float]:
        """CPU seconds by name between two moments."""
        return {name: seconds - before.cpu.get(name, 0.0) for name, seconds in self.cpu.items()}


def read_usage(pids: Mapping[str, int], *, memory: bool = False) -> Usage:
    """The usage of these processes; instances of one service (`generator-1`, `generator-2`) count together."""
    cpu: dict[str, float] = {}
    used: dict[str, int] = {}
    for name, pid in pids.items():
        service = name.rstrip("0123456789").rstrip("-")
        cpu[service] = cpu.get(service, 0.0) + cpu_seconds(pid)
        if memory:
            used[service] = used.get(service, 0) + memory_kib(pid)
    return Usage(time.monotonic(), cpu, used)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its living children and those it has waited for."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    seconds = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system
    return float(seconds)


def memory_kib(pid: int) -> int:
    """Resident memory of a process and its children; what they share counts once, and what is made to be shared not.

    That is PostgreSQL's buffer cache: of a set size, and filled by whatever is stored. Source: smaps_rollup in proc(5).
    """
    process = psutil.Process(pid)
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            rows = Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:  # it has ended, or is another user's
            continue
        kib = {name: int(rest.split()[0]) for name, _, rest in (row.partition(":") for row in rows)}
        total += kib["Pss_Anon"] + kib["Pss_File"]
    return total
