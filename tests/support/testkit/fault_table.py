"""The table of a fault run: its rows, as Markdown, as JSON, and where the documentation shows it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from testkit.history import Invariant

_COLUMNS = ("fault", "test", "load", "plans checked", "measured", "took", "bound", "met", "how it bit")
_BEGIN = "<!-- the table: make faults PYTEST_ARGS=--write-docs -->"
_END = "<!-- the end of the table -->"


@dataclass(slots=True)
class Row:
    """A line of the table.

    `plans` were watched by `viewers`, `calls` were synchronous; upstream broke `broken` of these off, and `failed` of
    them failed. `checked` says on how many plans each invariant was. `recovery` and `bound` are in `unit`.
    """

    fault: str
    seed: int
    test: str = ""
    plans: int = 0
    calls: int = 0
    viewers: int = 0
    broken: int = 0
    failed: int = 0
    checked: dict[Invariant, int] = field(default_factory=dict)
    violations: int = 0
    witness: str = ""
    measured: str = "recovery"
    unit: str = "s"
    # Speed is shown and not asserted: it is the machine's as much as ours.
    asserted: bool = True
    recovery: float | None = None
    bound: float | None = None
    met: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in the columns."""
        load = f"{self.plans} plans, {self.calls} calls, {self.viewers} viewers; {self.broken} broken off"
        return (
            self.fault,
            f"`{self.test}`",
            f"{load}, {self.failed} failed",
            " ".join(f"{invariant}:{count}" for invariant, count in self.checked.items()),
            "-" if self.recovery is None else self.measured,
            "-" if self.recovery is None else f"{self.recovery:.2f} {self.unit}",
            "-" if self.bound is None else f"{self.bound:g} {self.unit}",
            "yes" if self.met else "NO",
            self.witness,
        )


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_json(rows: list[Row], path: Path) -> None:
    """The rows for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def write_docs(rows: list[Row], path: Path) -> None:
    """Put the table in the place of the one that stands in the documentation."""
    before, _, rest = path.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    seeds = ", ".join(sorted({str(row.seed) for row in rows}))
    path.write_text(f"{before}{_BEGIN}\nSeed {seeds}.\n\n{table(rows)}\n{_END}{after}")


def read_docs(path: Path) -> list[dict[str, str]]:
    """The rows of the table in the documentation, by column."""
    _, _, rest = path.read_text().partition(_BEGIN)
    shown, _, _ = rest.partition(_END)
    lines = [line.strip("| ").split(" | ") for line in shown.splitlines() if line.startswith("|")]
    return [dict(zip(_COLUMNS, line, strict=True)) for line in lines[2:]]
