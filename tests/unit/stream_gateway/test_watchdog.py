"""The question about plans that have gone silent: one for all, and what its answer brings."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from common.contracts.events import Progress
from common.contracts.internal import PlanView
from common.generator_client import GeneratorUnavailableError
from stream_gateway import watchdog
from stream_gateway.channel import Channel
from stream_gateway.watchdog import Watchdog


class Generators:
    """The rows, and the questions about them."""

    def __init__(self) -> None:
        self.rows: dict[UUID, PlanView] = {}
        self.away = False
        self.asked: list[tuple[set[UUID], bool, bool]] = []

    async def query(self, ids: list[UUID], *, watched: bool, brief: bool) -> dict[UUID, PlanView]:
        self.asked.append((set(ids), watched, brief))
        if self.away:
            raise GeneratorUnavailableError("refused")
        return {plan_id: self.rows[plan_id] for plan_id in ids if plan_id in self.rows}


@dataclass(eq=False)
class Watched:
    """An attachment as the watchdog sees it."""

    channel: Channel
    subscribed: bool = True
    questions: int = 0

    def ask(self) -> None:
        self.questions += 1


@pytest.fixture
def generators() -> Generators:
    """Generators that know of no plan yet."""
    return Generators()


@pytest.fixture
def channels() -> list[Channel]:
    """Three watched plans, of which nothing has been heard."""
    return [Channel(uuid4(), lambda _: None, lambda: 0.0) for _ in range(3)]


@pytest.fixture
def watching(
    channels: list[Channel], generators: Generators, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Watchdog]:
    """A watchdog for which everything is due."""
    monkeypatch.setattr(watchdog, "FIRST_SECONDS", 0.0)

    def make(*, nats: bool) -> Watchdog:
        hub = [Watched(channel) for channel in channels]
        broker = SimpleNamespace(connected=nats, reconnects=0)
        return Watchdog(cast("Any", hub), cast("Any", broker), cast("Any", generators))

    return make


def _row(plan_id: UUID, **fields: Any) -> PlanView:
    known = {"plan_id": plan_id, "user_id": uuid4(), "attempt": 1, "seq": 7, "plan": {"a": 1}}
    known |= {"status": "generating", "progress": Progress.queued(4), "updated_at": datetime.now(UTC)}
    return PlanView(**(known | fields))


async def test_the_first_that_nobody_answers_is_the_last_of_its_tick(
    channels: list[Channel], generators: Generators, watching: Callable[..., Watchdog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question would wait as long in vain, and a connection that is back meanwhile would not be looked at."""
    monkeypatch.setattr(watchdog, "BRIEF_CHUNK", 1)
    generators.away = True
    dog = watching(nats=True)
    await dog.tick()
    assert len(generators.asked) == 1


async def test_silent_plans_share_one_question(
    channels: list[Channel], generators: Generators, watching: Callable[..., Watchdog]
) -> None:
    """Rule 6: one POST for all silent plans, without documents, and one for those that moved; it marks all."""
    silent, moved, ended = channels
    generators.rows[moved.plan_id] = _row(moved.plan_id)
    generators.rows[ended.plan_id] = _row(ended.plan_id, status="completed", ended_as="complete")
    dog = watching(nats=True)
    await dog.tick()
    everybody = {channel.plan_id for channel in channels}
    assert generators.asked == [(everybody, True, True), ({moved.plan_id, ended.plan_id}, True, False)]
    assert (silent.at, moved.at, moved.ended, ended.ended) == (None, (1, 7), False, True)


async def test_without_nats_the_question_is_put_all_the_same(
    channels: list[Channel], generators: Generators, watching: Callable[..., Watchdog]
) -> None:
    """Rule 6: while NATS is down HTTP is the only news, so the rows come whole at once."""
    for channel in channels:
        generators.rows[channel.plan_id] = _row(channel.plan_id)
    await watching(nats=False).tick()
    assert [(len(ids), watched, brief) for ids, watched, brief in generators.asked] == [(3, True, False)]
    assert [channel.at for channel in channels] == [(1, 7)] * 3


async def test_an_ended_plan_is_not_asked_about(
    channels: list[Channel], generators: Generators, watching: Callable[..., Watchdog]
) -> None:
    """Rule 6: who holds the end asks no more."""
    for channel in channels:
        generators.rows[channel.plan_id] = _row(channel.plan_id, status="failed", ended_as="cancelled")
    dog = watching(nats=False)
    await dog.tick()
    generators.asked.clear()
    await dog.tick()
    assert generators.asked == []


async def test_when_nats_is_back_plans_are_asked_about_one_after_the_other(
    channels: list[Channel], generators: Generators, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, and not all at once: their owners answer only after a save, which many reads would hold up."""
    monkeypatch.setattr(watchdog, "RETURN_PAUSE_SECONDS", 0.05)
    hub, broker = [Watched(channel) for channel in channels], SimpleNamespace(connected=True, reconnects=0)
    dog = Watchdog(cast("Any", hub), cast("Any", broker), cast("Any", generators))
    await dog.tick()
    assert [watched.questions for watched in hub] == [0, 0, 0]
    broker.reconnects = 1
    await dog.tick()
    await asyncio.sleep(0.02)
    assert [watched.questions for watched in hub] == [1, 0, 0]
    async with asyncio.timeout(2):
        while [watched.questions for watched in hub] != [1, 1, 1]:
            await asyncio.sleep(0.01)
