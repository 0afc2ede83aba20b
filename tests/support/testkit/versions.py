"""docs/versions.md as the tests read it."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "versions.md").read_text()


@dataclass(frozen=True)
class Version:
    """A line of the table."""

    number: str
    image: str | None
    development: str


def _line(line: str) -> tuple[str, Version]:
    name, number, image, development, _ = (cell.strip() for cell in line.strip("|").split("|"))
    return name, Version(number.split()[0], image.strip("`") if ":" in image else None, development)


# By the part's name.
VERSIONS = dict(_line(line) for line in re.findall(r"(?m)^\|.*\|$", TEXT)[2:])


def follows(version: str, wanted: str) -> bool:
    """Whether a version is the wanted one, or a later patch of it: 18.6 follows 18, 3.12 does not follow 3.11."""
    numbers, least = version.split("."), wanted.split(".")
    return numbers[: len(least)] == least
