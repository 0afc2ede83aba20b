"""What the users of comparable systems complain of is held by a test each, which says so in its first line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]

COMPLAINTS = {
    1: "stop does not stop once a stream can be resumed",
    2: "stop is accepted, and the run goes on",
    3: "the stream never ends",
    4: "a dead worker leaves heartbeats for ever",
    5: "duplicates after a reconnect",
    6: "ids repeat within a millisecond",
    7: "a lost answer to a POST bills twice",
    8: "usage is lost on stop",
    9: "reservations leak on provider errors",
    10: "a slow client takes the memory, or gets a false end",
    11: "publishing slows the reading of tokens",
    12: "partial parsing is quadratic",
    13: "events are lost between replay and live",
    14: "a tab that comes back POSTs again and burns tokens",
    15: "a frozen worker wakes and writes",
    16: "shutdown hangs on open streams",
    17: "OpenRouter's comments break the parser",
    18: "proxies buffer",
    19: "a restart of NATS freezes its subscribers",
    20: "the work of disconnects blocks the loop",
    21: "stale listeners stay after reconnects",
    22: "another user's stream can be read or cancelled",
}

_NAMES = re.compile(r"Complaints? (\d+(?:(?:, | and )\d+)*): \S")


def first_lines() -> Iterator[tuple[str, str]]:
    """Where each test stands that may name one, and the first line of its docstring."""
    texts = ((path, path.read_text()) for path in sorted(TESTS.rglob("test_*.py")))
    for path, text in texts:
        # To parse them all takes seconds.
        for node in ast.walk(ast.parse(text if "omplaint" in text else "")):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                line = (ast.get_docstring(node) or "").partition("\n")[0]
                yield f"{path.relative_to(TESTS)}::{node.name}", line


def named() -> dict[int, list[str]]:
    """The tests that name each complaint."""
    found: dict[int, list[str]] = {}
    for where, line in first_lines():
        if match := _NAMES.match(line):
            for number in re.findall(r"\d+", match[1]):
                found.setdefault(int(number), []).append(where)
    return found


def test_each_complaint_has_its_test() -> None:
    """A docstring below tests/ that begins with "Complaint 3: …" or "Complaints 5 and 13: …" names them."""
    found = named()
    missing = [f"{number} ({what})" for number, what in COMPLAINTS.items() if number not in found]
    assert not missing, (
        f"No test names complaint {'; '.join(missing)}. Write one that holds it, and let its docstring begin with "
        '"Complaint <number>: " and the behaviour.'
    )


def test_no_other_number_is_named() -> None:
    """A number that nobody knows, or a docstring that means to name one and is spelt otherwise, is a mistake."""
    assert set(named()) <= set(COMPLAINTS)
    wrong = [where for where, line in first_lines() if line.lower().startswith("complaint") and not _NAMES.match(line)]
    assert not wrong, f'these do not begin with "Complaint <number>: ": {wrong}'
