"""The lock files: made (`locks.py make`) and checked without a network (`locks.py check`).

`requirements-dev.lock` holds everything for every service and for development; each `services/*/requirements.lock`
holds one service's share in the same versions. Hashes for every platform, no index addresses, none of our own packages.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
DEVELOPMENT = ROOT / "requirements-dev.lock"
OURS = "planstream-"
HEADER = "# Made by `make lock` from the pyproject.toml files; do not edit.\n"
OLDEST_PYTHON = "3.11"

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_ADDRESS = re.compile(r"://|\s@\s|^--?[a-z]", re.MULTILINE)

Pins = dict[str, set[Version]]


def main(arguments: list[str]) -> int:
    """Do it; the return value is the exit code."""
    if arguments == ["make"]:
        make()
    elif arguments == ["check"]:
        problems = check()
        print("\n".join(problems) or "The lock files are up to date.")
        return 1 if problems else 0
    else:
        print("usage: locks.py make|check")
        return 2
    return 0


def make() -> None:
    """Resolve everything together, then each service within that. Locked versions stay where they still fit."""
    with tempfile.TemporaryDirectory() as directory:
        for lock, requirements in _wanted().items():
            source = Path(directory, "requirements.in")
            source.write_text("\n".join(sorted(map(str, requirements))) + "\n")
            constraints = () if lock == DEVELOPMENT else ("--constraint", str(DEVELOPMENT))
            _compile(source, lock, *constraints)
            print(f"{lock.relative_to(ROOT)}: {len(_pins(lock.read_text()))} packages")


def check() -> list[str]:
    """What is wrong, one line each: an unsatisfied requirement, a version that differs, an address, a missing hash."""
    problems = []
    shared = _pins(DEVELOPMENT.read_text()) if DEVELOPMENT.exists() else {}
    for lock, requirements in _wanted().items():
        name = lock.relative_to(ROOT)
        if not lock.exists():
            problems.append(f"{name} is missing: make lock")
            continue
        text = lock.read_text()
        pins = _pins(text)
        problems += [f"{name}: {line}" for line in _foreign(text)]
        problems += [f"{name}: {each} is not satisfied: make lock" for each in requirements if not _holds(each, pins)]
        problems += [
            f"{name}: {each} differs from {DEVELOPMENT.name}" for each in pins if pins[each] != shared.get(each)
        ]
    return problems


def _wanted() -> dict[Path, set[Requirement]]:
    """What each lock has to hold, from the pyproject.toml files."""
    projects = {file.parent: _read(file) for file in sorted(ROOT.glob("*/*/pyproject.toml"))}
    direct = {
        project["project"]["name"]: _requirements(project["project"]["dependencies"]) for project in projects.values()
    }
    development = _requirements(_read(ROOT / "pyproject.toml")["dependency-groups"]["dev"])
    everything = development.union(*direct.values())
    wanted = {DEVELOPMENT: {each for each in everything if not each.name.startswith(OURS)}}
    for folder, project in projects.items():
        if folder.parent.name == "services":
            wanted[folder / "requirements.lock"] = _expand(project["project"]["name"], direct)
    return wanted


def _expand(name: str, direct: dict[str, set[Requirement]]) -> set[Requirement]:
    """A package's requirements, with those of our own packages in their place."""
    found: set[Requirement] = set()
    for requirement in direct[name]:
        found |= _expand(requirement.name, direct) if requirement.name.startswith(OURS) else {requirement}
    return found


def _compile(source: Path, lock: Path, *options: str) -> None:
    # Quiet about where packages come from: whoever installs uses the index that their machine is set up for.
    silent = ("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header", "--quiet")
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("uv")), "pip", "compile", str(source), "--output-file", str(lock)),
            *("--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", *silent, *options),
        ],
        check=True,
        cwd=ROOT,
    )
    lock.write_text(HEADER + lock.read_text().removeprefix(HEADER))


def _pins(text: str) -> Pins:
    pins: Pins = defaultdict(set)
    for line in text.splitlines():
        if match := _PIN.match(line):
            pins[canonicalize_name(match[1])].add(Version(match[2]))
    return pins


def _holds(requirement: Requirement, pins: Pins) -> bool:
    versions = pins.get(canonicalize_name(requirement.name), set())
    return bool(versions) and all(version in requirement.specifier for version in versions)


def _foreign(text: str) -> list[str]:
    problems = [
        f"line {text[: match.start()].count(chr(10)) + 1} holds an address or an option"
        for match in _ADDRESS.finditer(text)
    ]
    for entry in re.split(r"\n(?=\S)", text):
        if _PIN.match(entry) and "--hash=sha256:" not in entry:
            problems.append(f"{entry.split()[0]} has no hash")
        if entry.startswith(OURS):
            problems.append(f"{entry.split()[0]} is one of our own packages")
    return problems


def _requirements(lines: list[str]) -> set[Requirement]:
    return {Requirement(line) for line in lines}


def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
