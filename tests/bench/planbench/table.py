"""The table that a run ends with. Pure."""

from typing import Any

from planbench.targets import Line, lines

_MARKS = {True: "met", False: "NOT MET", None: ""}


def text_table(results: dict[str, Any]) -> str:
    """For a terminal."""
    rows = [("what", "wanted", "measured", "beside", ""), *(_cells(line) for line in lines(results))]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown_table(results: dict[str, Any]) -> str:
    """For a page."""
    rows = ["| what | wanted | measured | beside | |", "|---|---|---|---|---|"]
    rows += [f"| {' | '.join(_cells(line))} |" for line in lines(results)]
    return "\n".join(rows)


def _cells(line: Line) -> tuple[str, str, str, str, str]:
    return line.what, line.wanted, line.measured, line.beside, _MARKS[line.met]
