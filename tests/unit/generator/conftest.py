"""An attempt at a plan without servers: a real run and a real live plan, and what they say."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import pytest

from common.contracts.inputs import Preferences
from common.contracts.messages import GenerateJob, Outcome
from generator.draft import Kept
from generator.grace import Grace
from generator.identity import Claim
from generator.live_plan import LivePlan
from generator.meter import Meter
from generator.repository import PlanRepository
from generator.run import Run


@dataclass
class Said:
    """What an attempt has published and announced, in order."""

    events: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def send(self, payload: bytes) -> None:
        """An event."""
        self.events.append(orjson.loads(payload))

    def tell(self, outcome: Outcome) -> None:
        """As the announcer's."""
        self.outcomes.append(outcome)


def _live_plan(plan_id: UUID, said: Said) -> LivePlan:
    loop = asyncio.get_running_loop()
    return LivePlan(
        plan_id,
        1,
        Kept(),
        Meter(4, started_at=0),
        send=said.send,
        clock=loop.time,
        call_later=loop.call_later,
        save_soon=lambda: None,
    )


@pytest.fixture
def said() -> Said:
    """What the runs of `new_run` say."""
    return Said()


@pytest.fixture
def new_run(said: Said) -> Callable[..., Run]:
    """`new_run(repository)` is an attempt that has just been claimed."""

    def make(repository: object = None) -> Run:
        plan_id = uuid4()
        job = GenerateJob(
            plan_id=plan_id,
            user_id=uuid4(),
            preference_id=uuid4(),
            preferences=Preferences(goals="Run a half marathon"),
            accepted_at=datetime.now(UTC),
        )
        return Run(
            job,
            Claim(plan_id, 1, None, 0, 0),
            _live_plan(plan_id, said),
            cast("PlanRepository", repository),
            Grace(-1, 0),
            lambda _: None,
            said.tell,
        )

    return make
