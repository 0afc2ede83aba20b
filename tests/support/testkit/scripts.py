"""What upstream does to some plans of a load: it breaks off in the middle, and refuses for good."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import httpx

from testkit.history import History
from testkit.scale import Pace

# A plan has some 5,000 characters: here the summary is there, and the last week is not.
_BREAK_AT: Final = (1200, 3200)
_BREAKS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("eof_after_tokens", {}),
    ("eof_after_tokens", {"eof_framing": "cut"}),
    ("reset_after_tokens", {}),
    ("length_after_tokens", {}),
)
_REFUSED: Final[dict[str, Any]] = {"http_error": {"status": 403, "variant": "moderation"}}


@dataclass(frozen=True, slots=True)
class Script:
    """Upstream's part in the plan with these goals.

    With `break_at` the first answer breaks off after so many characters, in the way `how`, an index. If `refused`,
    every other answer is a refusal.
    """

    goals: str
    break_at: int | None = None
    how: int = 0
    refused: bool = False

    def rules(self, pace: Pace) -> list[dict[str, Any]]:
        """In the words of the emulator's control API."""
        match = {"prompt_contains": self.goals}
        rules: list[dict[str, Any]] = []
        if self.break_at is not None:
            field, more = _BREAKS[self.how]
            behaviour = _pace(pace) | {field: self.break_at // pace.chars_per_token} | more
            rules.append({"behaviour": behaviour, "match": match, "times": 1})
        if self.refused:
            rules.append({"behaviour": _REFUSED, "match": match, "times": None})
        return rules

    @property
    def answers(self) -> int:
        """How many answers upstream gives to one worker; a refusal is none."""
        return (self.break_at is not None) + (not self.refused)

    def unplayed(self, plan_id: UUID, history: History) -> str | None:
        """What did not happen to a plan that upstream was to do, or None."""
        row = history.rows.get(plan_id)
        if row is None:
            return None
        broke_off = any(answer.broken for answer in history.upstream if answer.plan_id == plan_id)
        # A worker may die before its answer breaks off: then its successor is the one that goes on.
        if self.break_at is not None and row.status == "completed" and row.attempt == 1 and not broke_off:
            return "upstream did not break off"
        if self.refused and row.status != "failed":
            return f"upstream refused, and it is {row.status}"
        return None


def script(goals: str, way: str, rng: random.Random) -> Script:
    """Whether upstream breaks off, somewhere in the middle and in any way, and whether it refuses, as the words say."""
    played = Script(goals, refused="refuse" in way)
    if "break" not in way:
        return played
    return replace(played, break_at=rng.randint(*_BREAK_AT), how=rng.randrange(len(_BREAKS)))


@asynccontextmanager
async def upstream_plays(control: str, scripts: Sequence[Script], pace: Pace) -> AsyncIterator[None]:
    """The emulator keeps to these scripts for as long as the block lasts, and all else goes at this pace."""
    url = f"{control}/behaviours"
    rules = [rule for script in scripts for rule in script.rules(pace)]
    async with httpx.AsyncClient() as client:
        # The oldest that fits counts, so the pace of all others comes last.
        for rule in [*rules, {"behaviour": _pace(pace), "times": None}]:
            answer = await client.post(url, json=rule)
            assert answer.status_code == httpx.codes.CREATED, answer.text
        try:
            yield
        finally:
            await client.delete(url)


def _pace(pace: Pace) -> dict[str, Any]:
    return {"tokens_per_second": pace.tokens_per_second, "chars_per_token": pace.chars_per_token}
