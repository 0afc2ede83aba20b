"""The row of a plan as the place where races are decided: saves, claims and ends against each other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg

from common.contracts.events import Usage
from common.contracts.messages import GenerateJob
from generator.identity import Claim, Refused, Saved, completed
from generator.meter import Meter

NewJob = Callable[..., GenerateJob]
DOCUMENT = {"monthly_summary": "Run further each week.", "weekly_breakdown": []}
PROGRESS: dict[str, object] = Meter(4, started_at=0).read(1)
EXPIRE = "UPDATE generator.monthly_plans SET lease_until = now() - interval '1 s'"


async def _claim(owner: Any, job: GenerateJob) -> Claim:
    claimed = await owner.plans.claim(job, 5)
    assert isinstance(claimed, Claim)
    return claimed


async def _finish(owner: Any, claimed: Claim) -> bool:
    stored: bool = await owner.plans.finish(claimed, completed(DOCUMENT), 9, PROGRESS, Usage(), uuid4())
    return stored


def _row(claimed: Claim) -> Saved:
    return Saved(claimed.plan_id, claimed.attempt, 99, '{"late":1}', PROGRESS)


async def test_a_save_after_the_end_changes_nothing(owner: Any, new_job: NewJob) -> None:
    """Rule 1: the batch save matches `generating` alone, so a late one does not touch a stored end."""
    claimed = await _claim(owner, new_job())
    assert await _finish(owner, claimed)
    assert await owner.saves.save([_row(claimed)]) == []
    view = await owner.views.view(claimed.plan_id)
    assert (view.status, view.seq, view.plan) == ("completed", 9, DOCUMENT)


async def test_a_save_without_ownership_changes_nothing(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 1: the batch save matches the owner: after a lease was given back, and of another, it renews nothing."""
    claimed = await _claim(owner, new_job())
    assert await other.saves.save([_row(claimed)]) == []
    await owner.plans.give_back(claimed)
    assert await owner.saves.save([_row(claimed)]) == []
    assert (await owner.views.view(claimed.plan_id)).lease_expired


async def test_an_older_attempt_of_the_same_owner_changes_nothing(owner: Any, new_job: NewJob) -> None:
    """Rule 1: saves and ends match the attempt, so a process that has claimed a plan twice fences its first self."""
    job = new_job()
    first = await _claim(owner, job)
    await owner.pool.execute(EXPIRE)
    second = await _claim(owner, job)
    assert (first.attempt, second.attempt) == (1, 2)
    assert await owner.saves.save([_row(first)]) == []
    assert not await _finish(owner, first)
    view = await owner.views.view(job.plan_id)
    assert (view.status, view.attempt, view.seq) == ("generating", 2, 0)


async def test_a_late_end_needs_the_owner(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 1: the terminal UPDATE is fenced by attempt and owner, whatever a process believes."""
    claimed = await _claim(owner, new_job())
    assert not await _finish(other, claimed)
    assert (await owner.views.view(claimed.plan_id)).status == "generating"


async def test_two_batches_never_wait_in_a_circle(
    owner: Any, new_job: NewJob, database: str, until_blocked: Callable[[], Awaitable[None]]
) -> None:
    """Rule 1: a batch that waits for a row holds none behind it in id order, whatever order its plans have."""
    low, high = sorted(uuid4() for _ in range(2))
    claims = {plan_id: await _claim(owner, new_job(plan_id=plan_id)) for plan_id in (high, low)}
    batch = [_row(claims[high]), _row(claims[low])]
    another = await asyncpg.connect(database)
    lock = "SELECT FROM generator.monthly_plans WHERE plan_id = $1 FOR UPDATE NOWAIT"
    try:
        async with another.transaction():
            await another.execute(lock, low)
            saving = asyncio.create_task(owner.saves.save(batch))
            await until_blocked()
            await another.execute(lock, high)
        assert len(await saving) == 2
    finally:
        await another.close()


async def test_the_first_end_wins(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 8: whoever comes second is told the stored outcome, and a tombstone refuses the owner's own."""
    done, cancelled = await _claim(owner, new_job()), await _claim(owner, new_job())
    assert await _finish(owner, done)
    view = await other.plans.end(done.plan_id, uuid4(), "cancelled", None, only_unowned=False)
    assert (view.ended_as, view.attempt, view.charge) == ("complete", 1, "used")
    await other.plans.end(cancelled.plan_id, uuid4(), "cancelled", None, only_unowned=False)
    assert not await _finish(owner, cancelled)
    assert (await owner.views.view(cancelled.plan_id)).ended_as == "cancelled"


async def test_a_mark_comes_back_with_the_save(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 10: the query of any generator tells the owner, with its next save, how long ago a plan was watched."""
    watched, unseen = await _claim(owner, new_job()), await _claim(owner, new_job())
    await other.views.views([watched.plan_id], watched=True, brief=True)
    await other.views.views([unseen.plan_id], watched=False, brief=True)
    held = {item.plan_id: item.watched_ago for item in await owner.saves.save([_row(watched), _row(unseen)])}
    assert held[unseen.plan_id] is None
    assert 0 <= held[watched.plan_id] < 5


async def test_a_deleted_plan_is_never_claimed(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 14: once deleted a plan is refused to every claim, also when nobody had ended it and its lease is over."""
    job = new_job()
    await _claim(owner, job)
    await owner.plans.erase(job.plan_id)
    await owner.pool.execute(EXPIRE)
    for asker in (owner, other):
        assert isinstance(await asker.plans.claim(job, 5), Refused)
