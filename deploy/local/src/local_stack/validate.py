"""`python -m local_stack.validate`: what each service would say of its settings, before anything is started.

Standard input is a JSON object: a name for each program, its package and its environment. In a process of its own,
because settings are read from a process's environment; all in one, without the start of four interpreters.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from common.settings import faults_of


def main() -> int:
    """Print each fault once, with the programs that would stumble over it; the return value is the exit code."""
    found: dict[str, list[str]] = {}
    for name, (package, environment) in json.load(sys.stdin).items():
        for fault in _faults(package, environment):
            found.setdefault(fault, []).append(name)
    for fault, names in found.items():
        print(f"{fault} ({', '.join(names)})")
    return 2 if found else 0


def _faults(package: str, environment: dict[str, str]) -> list[str]:
    settings: Any = import_module(f"{package}.settings")
    os.environ.clear()
    os.environ.update(environment)
    prefix = getattr(settings, "ENVIRONMENT_PREFIX", "")
    try:
        # The emulator's know a command line as well.
        settings.read_settings([], environment) if hasattr(settings, "read_settings") else settings.Settings()
    except ValidationError as error:
        return [f"{prefix}{fault}" for fault in faults_of(error)]
    return []


if __name__ == "__main__":
    sys.exit(main())
