"""What plan-api does when JetStream has lost its store, and when a generator says nothing at all."""

import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

import nats
import pytest

from common.contracts import subjects
from common.contracts.messages import GenerateJob
from plan_api import outbox

if TYPE_CHECKING:
    from tests.integration.plan_api.conftest import PlanApi

Launch = Callable[..., "Awaitable[PlanApi]"]


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a generator whose host takes connections and which never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_job_finds_its_stream_again(plan_api: "PlanApi", user: UUID, nats_url: str) -> None:
    """Rule 9: a start after the stream of jobs was lost makes the stream anew, and its job is in it."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    await jetstream.delete_stream(subjects.JOBS_STREAM)
    plan_id = await plan_api.started(user)
    message = await jetstream.get_last_msg(subjects.JOBS_STREAM, subjects.JOBS_SUBJECT)
    await client.close()
    assert GenerateJob.model_validate_json(message.data or b"").plan_id == plan_id
    assert await plan_api.count("outbox") == 0


async def test_silence_of_the_generator_is_no_lost_job(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 9: while no generator answers nothing is known, so the job is not published again; afterwards it is."""
    plan_id = await plan_api.started(user)
    await plan_api.backdate(plan_id, 60)
    query = "SELECT dispatches FROM plan_api.generations"
    plan_api.generator.away = True
    await plan_api.reconciler.sweep()
    assert await plan_api.admin.fetchval(query) == 1
    plan_api.generator.away = False
    await plan_api.reconciler.sweep()
    assert await plan_api.admin.fetchval(query) == 2


async def test_a_refusal_does_not_wait_for_a_generator(
    launch: Launch, nats_url: str, ready: "Callable[[PlanApi], Awaitable[None]]", user: UUID, mute: str
) -> None:
    """Rule 13: a refusal asks the generator first, and gives it 200 ms; nobody waits longer to hear 402 or 429."""
    api = await launch(nats_url, max_running_plans_per_user=1, generator_urls=(mute,))
    await ready(api)
    await api.started(user)
    preference_id = await api.store_inputs(user)
    began = time.monotonic()
    refused = await api.start(user, preference_id)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_running")
    assert 0.15 < time.monotonic() - began < 1
    assert await api.balance(user) == (0, 1)


async def test_no_end_is_guessed_before_a_refusal(plan_api: "PlanApi", user: UUID) -> None:
    """Rule 13: of a user's open plans those with a terminal row are settled, and no other."""
    ended, running, queued = [await plan_api.started(user) for _ in range(3)]
    plan_api.generator.ended(ended, user)
    plan_api.generator.running(running, user, lease_expired=True)
    assert await plan_api.reconciler.settle_ended_of(user)
    assert [await plan_api.status(plan_id) for plan_id in (ended, running, queued)] == [
        "completed",
        "generating",
        "generating",
    ]
    assert not await plan_api.reconciler.settle_ended_of(user)


_SLOW_DELETE = """
CREATE FUNCTION plan_api.sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN OLD; END $$;
CREATE TRIGGER slow BEFORE DELETE ON plan_api.outbox FOR EACH ROW EXECUTE FUNCTION plan_api.sleep()
"""


async def test_what_is_accepted_is_told_whatever_comes_after(
    plan_api: "PlanApi", user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that stalls behind the commit keeps nobody waiting until he takes the start for failed."""
    monkeypatch.setattr(outbox, "AT_ONCE_SECONDS", 0.3)
    await plan_api.admin.execute(_SLOW_DELETE)
    began = time.monotonic()
    plan_id = await plan_api.started(user)
    assert time.monotonic() - began < 2
    assert await plan_api.status(plan_id) == "generating"
