"""The generator's slice: claims, the batch save, ends, and the fence between two owners."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from common.contracts.errors import ErrorCode
from common.contracts.events import Usage
from common.contracts.messages import GenerateJob
from generator.identity import Claim, Refused, Saved, cancelled, completed, failed
from generator.meter import Meter
from generator.openrouter import UpstreamCall
from generator.repository.calls import CallRecord

NewJob = Callable[..., GenerateJob]
DOCUMENT = {"monthly_summary": "Run further each week.", "weekly_breakdown": []}
PROGRESS: dict[str, object] = Meter(4, started_at=0).read(1)
MAX_ATTEMPTS = 5


async def claim(owner: Any, job: GenerateJob) -> Claim:
    claimed = await owner.plans.claim(job, MAX_ATTEMPTS)
    assert isinstance(claimed, Claim)
    return claimed


def row(claimed: Claim, seq: int, partial: str | None) -> Saved:
    return Saved(claimed.plan_id, claimed.attempt, seq, partial, PROGRESS)


async def expire(pool: Any, claimed: Claim) -> None:
    await pool.execute("UPDATE generator.monthly_plans SET lease_until = now() - interval '1 s'")


async def test_first_claim_makes_the_row(owner: Any, new_job: NewJob) -> None:
    """A plan nobody has claimed begins as attempt 1 with nothing written."""
    claimed = await claim(owner, new_job())
    assert (claimed.attempt, claimed.partial) == (1, None)
    view = await owner.views.view(claimed.plan_id)
    assert (view.status, view.attempt, view.seq, view.lease_expired) == ("generating", 1, 0, False)


async def test_running_lease_refuses_everybody(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 1: while the lease runs neither another generator nor the owner itself claims again."""
    job = new_job()
    await claim(owner, job)
    for asker in (other, owner):
        refused = await asker.plans.claim(job, MAX_ATTEMPTS)
        assert isinstance(refused, Refused)
        assert 6 < refused.wait <= 8


async def test_expired_lease_is_taken_with_what_was_saved(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 1: a takeover is the next attempt and starts from the saved partial document."""
    job = new_job()
    first = await claim(owner, job)
    await owner.saves.save([row(first, 3, '{"monthly_summary":"Run"}')])
    await expire(owner.pool, first)
    second = await claim(other, job)
    assert (second.attempt, second.partial) == (2, {"monthly_summary": "Run"})


async def test_a_takeover_knows_what_was_paid_and_whether_anybody_watched(
    owner: Any, other: Any, new_job: NewJob
) -> None:
    """The calls of earlier attempts are in the plan's bill; viewers of theirs count as viewers."""
    job = new_job()
    first = await claim(owner, job)
    assert (first.watched, first.calls) == (False, ())
    paid = UpstreamCall("gen-1", "P", "a/b", 10, 20, 0.5, "stop", "provider")
    await owner.calls.insert([CallRecord(job.plan_id, 1, "stream", datetime.now(UTC), datetime.now(UTC), paid, None)])
    await expire(owner.pool, first)
    second = await claim(other, job)
    assert (second.attempt, second.watched, second.calls) == (2, False, (paid,))
    await owner.views.views([job.plan_id], watched=True, brief=True)
    await expire(owner.pool, second)
    assert (await claim(owner, job)).watched


async def test_calls_are_stored_together_and_estimates_corrected(owner: Any, other: Any, new_job: NewJob) -> None:
    """Each row keeps what is its own; what is written again, or was said by the provider already, changes nothing."""
    job = new_job()
    first = await claim(owner, job)
    billed = UpstreamCall("gen-1", "P", "a/b", 10, 20, 0.5, "stop", "provider")
    broken = UpstreamCall("gen-2", None, "a/b", 1, 2)
    refused = UpstreamCall()
    ended = [(billed, None), (broken, "upstream_error"), (refused, "upstream_overloaded")]
    now = datetime.now(UTC)
    records = [
        CallRecord(job.plan_id, 1, "stream", now + timedelta(seconds=n), now + timedelta(minutes=n), *one)
        for n, one in enumerate(ended)
    ]
    await owner.calls.insert(records[:2])
    await owner.calls.insert(records)
    found = UpstreamCall("gen-2", "Q", "c/d", 30, 40, 0.25, source="provider")
    for generation in ("gen-1", "gen-2"):
        await owner.calls.correct(job.plan_id, generation, found)
    await expire(owner.pool, first)
    taken = await claim(other, job)
    assert set(map(repr, taken.calls)) == set(map(repr, (billed, found, refused)))
    codes = await owner.pool.fetch(
        "SELECT error_code, ended_at FROM generator.upstream_calls WHERE plan_id = $1 ORDER BY started_at", job.plan_id
    )
    assert list(map(tuple, codes)) == [(record.error_code, record.ended_at) for record in records]


async def test_ten_claims_at_once_have_one_winner(pool: Any, owner: Any, new_job: NewJob) -> None:
    """Rule 1: however many generators get the job, one becomes the owner."""
    job = new_job()
    owners = [type(owner)(pool) for _ in range(10)]
    results = await asyncio.gather(*(each.plans.claim(job, MAX_ATTEMPTS) for each in owners))
    assert sum(isinstance(result, Claim) for result in results) == 1


async def test_partial_save_stores_document_seq_and_lease(owner: Any, new_job: NewJob) -> None:
    """Rules 1 and 4: a save writes attempt, seq and partial document together and renews the lease."""
    claimed = await claim(owner, new_job())
    await expire(owner.pool, claimed)
    held = await owner.saves.save([row(claimed, 7, '{"monthly_summary":"Run far"}')])
    assert [item.plan_id for item in held] == [claimed.plan_id]
    view = await owner.views.view(claimed.plan_id)
    assert (view.seq, view.plan, view.lease_expired) == (7, {"monthly_summary": "Run far"}, False)


async def test_save_without_news_keeps_the_document(owner: Any, new_job: NewJob) -> None:
    """Renewing a lease does not touch the document; an empty text clears it."""
    claimed = await claim(owner, new_job())
    await owner.saves.save([row(claimed, 1, '{"monthly_summary":"Run"}')])
    await owner.saves.save([row(claimed, 1, None)])
    assert (await owner.views.view(claimed.plan_id)).plan == {"monthly_summary": "Run"}
    await owner.saves.save([row(claimed, 2, "")])
    assert (await owner.views.view(claimed.plan_id)).plan is None


async def test_week_save_carries_the_finished_week(owner: Any, new_job: NewJob) -> None:
    """A completed week is in the row that the writer saves for it."""
    claimed = await claim(owner, new_job())
    week = '{"monthly_summary":"Run","weekly_breakdown":[{"week":1},{"week":2}]}'
    await owner.saves.save([row(claimed, 20, week)])
    plan = (await owner.views.view(claimed.plan_id)).plan
    assert [item["week"] for item in plan["weekly_breakdown"]] == [1, 2]


async def test_batch_save_fences_each_plan_by_itself(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 1: in one statement the plans that are still ours are saved, and one that was taken is not."""
    kept, lost_job = await claim(owner, new_job()), new_job()
    lost = await claim(owner, lost_job)
    await owner.pool.execute(
        "UPDATE generator.monthly_plans SET lease_until = now() - interval '1 s' WHERE plan_id = $1", lost.plan_id
    )
    await claim(other, lost_job)
    held = await owner.saves.save([row(kept, 5, '{"a":1}'), row(lost, 5, '{"stale":1}')])
    assert [item.plan_id for item in held] == [kept.plan_id]
    assert (await owner.views.view(lost.plan_id)).plan is None


async def test_save_never_goes_back(owner: Any, new_job: NewJob) -> None:
    """Rule 1: a save that arrives late with a lower seq changes nothing."""
    claimed = await claim(owner, new_job())
    await owner.saves.save([row(claimed, 9, '{"new":1}')])
    assert await owner.saves.save([row(claimed, 8, '{"old":1}')]) == []
    assert (await owner.views.view(claimed.plan_id)).plan == {"new": 1}


async def finish(owner: Any, claimed: Claim, ending: Any, outcome_id: Any = None) -> bool:
    stored: bool = await owner.plans.finish(claimed, ending, 9, PROGRESS, Usage(total_tokens=5), outcome_id or uuid4())
    return stored


async def test_final_save_stores_the_outcome_once(owner: Any, new_job: NewJob) -> None:
    """Rule 3: the terminal UPDATE stores document, usage, charge and status; a second outcome changes nothing."""
    claimed = await claim(owner, new_job())
    assert await finish(owner, claimed, completed(DOCUMENT))
    assert not await finish(owner, claimed, failed(ErrorCode.INTERNAL, None))
    view = await owner.views.view(claimed.plan_id)
    assert (view.status, view.ended_as, view.charge, view.plan) == ("completed", "complete", "used", DOCUMENT)
    assert (view.seq, view.usage.total_tokens) == (9, 5)


async def test_stored_document_keeps_its_order(owner: Any, new_job: NewJob) -> None:
    """A plan read back has its keys as they were written: Monday before Friday."""
    claimed = await claim(owner, new_job())
    document = {"weekly_breakdown": [{"week": 1, "daily_tasks": {"monday": [], "friday": []}}], "a": 1}
    assert await finish(owner, claimed, completed(document))
    assert str((await owner.views.view(claimed.plan_id)).plan) == str(document)


async def test_lost_answer_of_a_terminal_update_is_recognised(owner: Any, new_job: NewJob) -> None:
    """Rule 3: the same outcome stored again reports success: it was our own commit whose answer was lost."""
    claimed, outcome_id = await claim(owner, new_job()), uuid4()
    assert await finish(owner, claimed, completed(DOCUMENT), outcome_id)
    assert await finish(owner, claimed, completed(DOCUMENT), outcome_id)


async def test_fenced_owner_cannot_finish(owner: Any, other: Any, new_job: NewJob) -> None:
    """Rule 1: after a takeover the older attempt's outcome is refused."""
    job = new_job()
    first = await claim(owner, job)
    await expire(owner.pool, first)
    await claim(other, job)
    assert not await finish(owner, first, completed(DOCUMENT))
    assert (await owner.views.view(job.plan_id)).status == "generating"


@pytest.mark.parametrize(
    ("partial", "status", "charge"), [(None, "failed", "released"), ('{"a":1}', "partial", "used")]
)
async def test_end_by_another_fences_the_owner(
    owner: Any, other: Any, new_job: NewJob, partial: str | None, status: str, charge: str
) -> None:
    """Rule 8: a non-owner's cancel is attempt + 1, charged when there is content; the owner's save matches no more."""
    job = new_job()
    claimed = await claim(owner, job)
    await owner.saves.save([row(claimed, 4, partial)])
    view = await other.plans.end(job.plan_id, job.user_id, "cancelled", None, only_unowned=False)
    assert (view.status, view.charge, view.attempt, view.seq) == (status, charge, 2, 1)
    assert await owner.saves.save([row(claimed, 5, '{"late":1}')]) == []


async def test_cancel_before_the_claim_leaves_a_tombstone(owner: Any, new_job: NewJob) -> None:
    """Rule 8: a plan cancelled before anybody claimed it refuses the claim with its terminal row."""
    job = new_job()
    view = await owner.plans.end(job.plan_id, job.user_id, "cancelled", None, only_unowned=False)
    assert (view.status, view.charge) == ("failed", "released")
    refused = await owner.plans.claim(job, MAX_ATTEMPTS)
    assert isinstance(refused, Refused)
    assert refused.view.ended_as == "cancelled"


@pytest.mark.parametrize(("told", "total"), [(5, 5), (None, 4)])
async def test_a_tombstone_knows_the_weeks_if_it_was_told(
    owner: Any, new_job: NewJob, told: int | None, total: int
) -> None:
    """A plan that nobody has claimed has as many weeks as whoever ends it says."""
    job = new_job()
    view = await owner.plans.end(job.plan_id, job.user_id, "cancelled", None, only_unowned=False, weeks=told)
    assert view.progress.weeks_total == total


async def test_who_has_claimed_a_plan_knows_its_weeks_best(owner: Any, new_job: NewJob) -> None:
    """What the caller of a cancel says about a plan that has a row changes nothing."""
    job = new_job()
    await claim(owner, job)
    view = await owner.plans.end(job.plan_id, job.user_id, "cancelled", None, only_unowned=False, weeks=5)
    assert view.progress.weeks_total == 4


async def test_sweep_does_not_end_an_owned_plan(owner: Any, other: Any, new_job: NewJob) -> None:
    """Ending an unowned plan leaves a plan with a running lease alone."""
    job = new_job()
    claimed = await claim(owner, job)
    assert await other.plans.end(job.plan_id, job.user_id, "error", ErrorCode.INTERNAL, only_unowned=True) is None
    await expire(owner.pool, claimed)
    view = await other.plans.end(job.plan_id, job.user_id, "error", ErrorCode.INTERNAL, only_unowned=True)
    assert (view.status, view.code, view.charge) == ("failed", "internal", "released")


async def test_attempts_are_capped(owner: Any, new_job: NewJob) -> None:
    """Rule 2: after the last attempt a claim is refused and the sweeper finds the plan."""
    job = new_job()
    for number in range(1, 4):
        claimed = await owner.plans.claim(job, 3)
        assert claimed.attempt == number
        await expire(owner.pool, claimed)
    assert isinstance(await owner.plans.claim(job, 3), Refused)
    assert [view.plan_id for view in await owner.saves.exhausted(3, 10)] == [job.plan_id]


async def test_given_back_plan_is_claimed_at_once(owner: Any, other: Any, new_job: NewJob) -> None:
    """At shutdown the lease is let go, so another generator need not wait for it."""
    job = new_job()
    claimed = await claim(owner, job)
    await owner.plans.give_back(claimed)
    assert (await claim(other, job)).attempt == 2


async def test_unannounced_ends_are_found_until_marked(owner: Any, new_job: NewJob) -> None:
    """Rule 6: a stored end whose news was lost is found by the sweep, and not again once announced."""
    claimed = await claim(owner, new_job())
    await finish(owner, claimed, cancelled(None))
    assert [view.plan_id for view in await owner.saves.unannounced(-1, 10)] == [claimed.plan_id]
    await owner.plans.mark_announced([claimed.plan_id])
    assert await owner.saves.unannounced(-1, 10) == []


async def test_erased_plan_is_gone_and_refuses_claims(owner: Any, new_job: NewJob) -> None:
    """Erasing takes the content from the database and the row from every read."""
    claimed = await claim(owner, new_job())
    await finish(owner, claimed, completed(DOCUMENT))
    await owner.plans.erase(claimed.plan_id)
    assert await owner.views.view(claimed.plan_id) is None
    stored = await owner.pool.fetchrow("SELECT content, partial_content FROM generator.monthly_plans")
    assert (stored["content"], stored["partial_content"]) == (None, None)


async def test_marking_as_watched_locks_in_the_order_of_the_save(
    owner: Any, new_job: NewJob, database: str, until_blocked: Callable[[], Awaitable[None]]
) -> None:
    """Rule 10: a mark that waits for a row holds none behind it in id order, so a save can take the second."""
    low, high = sorted(uuid4() for _ in range(2))
    for plan_id in (high, low):
        await claim(owner, new_job(plan_id=plan_id))
    saver = await asyncpg.connect(database)
    lock = "SELECT FROM generator.monthly_plans WHERE plan_id = $1 FOR UPDATE NOWAIT"
    try:
        async with saver.transaction():
            await saver.execute(lock, low)
            marking = asyncio.create_task(owner.views.views([high, low], watched=True, brief=True))
            await until_blocked()
            await saver.execute(lock, high)
        assert len(await marking) == 2
    finally:
        await saver.close()
    marks = await owner.pool.fetch("SELECT FROM generator.monthly_plans WHERE watched_at IS NOT NULL")
    assert len(marks) == 2


async def test_brief_reads_leave_the_documents_where_they_are(
    pool: Any, owner: Any, new_job: NewJob, reads: list[Any]
) -> None:
    """Neither the whole nor the partial document crosses the line; all else is there."""
    done, running = await claim(owner, new_job()), await claim(owner, new_job())
    await finish(owner, done, completed(DOCUMENT))
    await owner.saves.save([row(running, 3, '{"monthly_summary":"Run"}')])
    ids = [done.plan_id, running.plan_id]
    whole = await owner.views.views(ids, watched=False, brief=False)
    reads.clear()
    brief = await owner.views.views(ids, watched=False, brief=True)
    await expire(pool, running)
    exhausted = await owner.saves.exhausted(1, 10)
    assert [view.plan_id for view in exhausted] == [running.plan_id]
    assert len(reads) == 3
    assert all(read["content"] is read["partial_content"] is None for read in reads)
    plain = {view.plan_id: view.model_copy(update={"plan": None}) for view in whole}
    assert {view.plan_id: view for view in brief} == plain


async def test_service_role_may_write_rows_and_nothing_else(owner: Any) -> None:
    """The generator's role has no DDL."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.pool.execute("CREATE TABLE generator.mine (id int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.pool.execute("DELETE FROM generator.schema_migrations")


async def test_what_was_reached_is_shown_when_no_event_can_follow(owner: Any, other: Any, new_job: NewJob) -> None:
    """While it runs, the row shows what events say; the next attempt begins, and an end stands, at what was reached."""
    job = new_job()
    claimed = await claim(owner, job)
    progress = PROGRESS | {"percent": 5.0, "reached": 16.0}
    await owner.saves.save([replace(row(claimed, 4, '{"monthly_summary":"Run"}'), progress=progress)])
    assert (await owner.views.view(job.plan_id)).progress.percent == 5.0
    await expire(owner.pool, claimed)
    assert (await claim(other, job)).percent == 16.0
    view = await owner.plans.end(job.plan_id, job.user_id, "cancelled", None, only_unowned=False)
    assert view.progress.percent == 16.0
