"""What a prompt asks for: the `<inputs>` and `<task>` blocks, or the words of a prompt that has none. Pure."""

import re
from dataclasses import dataclass
from typing import Any

import orjson

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DEFAULT_WEEKS = 4
MAX_GOALS = 20
MAX_NAME = 120

# The last block wins: a continuation may quote the first request before its own task.
_INPUTS = re.compile(r"<inputs>\s*(\{[^<]*\})\s*</inputs>")
_TASK = re.compile(r"<task>\s*(\{[^<]*\})\s*</task>")
_WORD = re.compile(r"[^\W\d_]{5,}")
_COMMON_WORDS = frozenset(
    {"about", "after", "before", "could", "every", "other", "please", "should", "their", "there", "these", "those"}
    | {"wants", "where", "which", "while", "would", "write", "weeks", "hours", "month"}
)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Commitment:
    """Taken time on one day, in minutes since midnight."""

    day: str
    start: int
    end: int
    description: str


@dataclass(frozen=True, slots=True)
class PlanBrief:
    """What the plan is to be about, and which parts of it to write."""

    goals: tuple[str, ...]
    focus_areas: tuple[str, ...]
    available_hours: dict[str, float]
    """Hours a day. A day left out is free, unless no day is named at all."""
    commitments: tuple[Commitment, ...]
    ambition: str
    start_date: str | None
    summary: bool
    weeks: tuple[int, ...]


def read_plan_brief(prompt: str) -> PlanBrief | None:
    """The brief in the prompt's blocks, or None without an `<inputs>` block. Members of a wrong type are skipped."""
    inputs = _last_block(_INPUTS, prompt)
    if inputs is None:
        return None
    goals = inputs.get("goals")
    hours = inputs.get("availableHours")
    total = inputs.get("weeks")
    total = total if isinstance(total, int) and 1 <= total <= 52 else DEFAULT_WEEKS
    task = _last_block(_TASK, prompt) or {}
    weeks = task.get("weeks")
    start_date = inputs.get("startDate")
    return PlanBrief(
        goals=_names([goals] if isinstance(goals, str) else goals) or ("your goals",),
        focus_areas=_names(inputs.get("focusAreas")),
        available_hours={day: float(n) for day, n in _object(hours).items() if day in DAYS and _is_hours(n)},
        commitments=_commitments(inputs.get("fixedCommitments")),
        ambition=str(inputs.get("ambition", "balanced")),
        start_date=start_date if isinstance(start_date, str) else None,
        summary=task.get("summary") is not False,
        weeks=tuple(n for n in weeks if type(n) is int) if isinstance(weeks, list) else tuple(range(1, total + 1)),
    )


def guess_plan_brief(text: str) -> PlanBrief:
    """A four-week brief from the words of a foreign prompt."""
    topics = topics_of(text)
    return PlanBrief(
        goals=(clip(text) or "your goals",),
        focus_areas=tuple(topic.capitalize() for topic in topics[:3]),
        available_hours={},
        commitments=(),
        ambition="balanced",
        start_date=None,
        summary=True,
        weeks=tuple(range(1, DEFAULT_WEEKS + 1)),
    )


def topics_of(text: str) -> list[str]:
    """The longest different words of the beginning of a text, at most five, in their order there."""
    found = dict.fromkeys(word.lower() for word in _WORD.findall(text[:4000]))
    words = [word for word in found if word not in _COMMON_WORDS]
    longest = sorted(words, key=len, reverse=True)[:5]
    return [word for word in words if word in longest]


def clip(text: str, limit: int = MAX_NAME) -> str:
    """The beginning of a text on one line, cut between words."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    return line[:limit].rsplit(" ", 1)[0].rstrip(",.;:") + "…"


def _last_block(pattern: re.Pattern[str], prompt: str) -> dict[str, Any] | None:
    for block in reversed(pattern.findall(prompt)):
        try:
            value = orjson.loads(block)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            return value
    return None


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        return ()
    return tuple(name for value in values[:MAX_GOALS] if isinstance(value, str) and (name := clip(value)))


def _commitments(values: Any) -> tuple[Commitment, ...]:
    found = []
    for value in values if isinstance(values, list) else []:
        entry = _object(value)
        start, end = _minutes(entry.get("startTime")), _minutes(entry.get("endTime"))
        if entry.get("day") in DAYS and start is not None and end is not None and start < end:
            found.append(Commitment(entry["day"], start, end, clip(str(entry.get("description", "")))))
    return tuple(found)


def _minutes(clock: Any) -> int | None:
    found = _CLOCK.fullmatch(clock) if isinstance(clock, str) else None
    return int(found[1]) * 60 + int(found[2]) if found else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_hours(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 24
