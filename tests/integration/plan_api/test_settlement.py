"""Settlement: exactly once, whoever brings the news; and the relay and the consumer around it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import nats
import pytest
from nats.js import JetStreamContext

from common.contracts import subjects
from common.contracts.errors import ErrorCode
from common.contracts.messages import GenerateJob, Outcome

if TYPE_CHECKING:
    from local_stack.nats import NatsServer
    from tests.integration.plan_api.conftest import PlanApi

Until = Callable[..., Awaitable[None]]
News = Callable[..., Outcome]


async def _publish(nats_url: str, plan_id: UUID, payload: bytes) -> None:
    client = await nats.connect(nats_url)
    await client.jetstream().publish(subjects.outcome(plan_id), payload)
    await client.close()


async def _drained(jetstream: JetStreamContext, stream: str) -> bool:
    return (await jetstream.stream_info(stream)).state.messages == 0


@pytest.mark.parametrize(
    ("status", "charge", "balance"),
    [("completed", "used", (1, 0)), ("partial", "used", (1, 0)), ("failed", "released", (0, 0))],
)
async def test_the_charge_is_the_outcome_s(
    plan_api: "PlanApi", user: UUID, outcome_of_plan: News, status: Any, charge: Any, balance: tuple[int, int]
) -> None:
    """Used or released as the terminal row says; a second, different news changes nothing."""
    plan_id = await plan_api.started(user)
    assert await plan_api.settlement.settle(outcome_of_plan(plan_id, status, charge)) is True
    assert await plan_api.settlement.settle(outcome_of_plan(plan_id, "completed", "used")) is False
    assert await plan_api.settlement.settle(outcome_of_plan(plan_id, "failed", "released")) is False
    assert (await plan_api.status(plan_id), await plan_api.balance(user)) == (status, balance)


async def test_news_from_many_sources_at_once_settles_once(
    plan_api: "PlanApi", user: UUID, outcome_of_plan: News
) -> None:
    """Ten plans of one user, each told of four times concurrently and twice contradicted: ten ledger entries."""
    plan_ids = [await plan_api.started(user) for _ in range(10)]
    news = [outcome_of_plan(i, "completed", "used") for i in plan_ids for _ in range(4)]
    news += [outcome_of_plan(i, "failed", "released") for i in plan_ids for _ in range(2)]
    settled = await asyncio.gather(*(plan_api.settlement.settle(item) for item in news))
    used, reserved = await plan_api.balance(user)
    assert (settled.count(True), reserved) == (10, 0)
    assert await plan_api.count("quota_ledger") == 20
    completed = await plan_api.admin.fetchval("SELECT count(*) FROM plan_api.generations WHERE status = 'completed'")
    assert used == completed


async def test_news_of_an_unknown_plan_changes_nothing(plan_api: "PlanApi", outcome_of_plan: News) -> None:
    """It is no error either: the plan may be another installation's."""
    assert await plan_api.settlement.settle(outcome_of_plan(uuid4())) is False


async def test_the_consumer_settles_and_acks(
    plan_api: "PlanApi", user: UUID, nats_url: str, until: Until, outcome_of_plan: News
) -> None:
    """An outcome on JetStream settles its plan; a malformed one is taken out of the way."""
    plan_id = await plan_api.started(user)
    await _publish(nats_url, plan_id, b'{"planId": "not an outcome"}')
    await _publish(nats_url, plan_id, outcome_of_plan(plan_id, "failed", "released").to_json())
    client = await nats.connect(nats_url)
    await until(lambda: _drained(client.jetstream(), subjects.OUTCOMES_STREAM))
    await client.close()
    assert (await plan_api.status(plan_id), await plan_api.balance(user)) == ("failed", (0, 0))


async def test_news_that_does_not_fit_the_account_is_taken_out_of_the_way(
    plan_api: "PlanApi", user: UUID, nats_url: str, until: Until, outcome_of_plan: News
) -> None:
    """Of an account that somebody changed by hand: the next news is settled, and the plan is left to the reconciler."""
    spoilt, sound = await plan_api.started(user), await plan_api.started(other := uuid4())
    await plan_api.admin.execute("UPDATE plan_api.quota_accounts SET reserved = 0 WHERE user_id = $1", user)
    for plan_id in (spoilt, sound):
        await _publish(nats_url, plan_id, outcome_of_plan(plan_id).to_json())
    client = await nats.connect(nats_url)
    await until(lambda: _drained(client.jetstream(), subjects.OUTCOMES_STREAM))
    await client.close()
    assert (await plan_api.status(spoilt), await plan_api.status(sound)) == ("generating", "completed")
    assert await plan_api.balance(other) == (1, 0)


@pytest.mark.provokes("crash", "the stream is deleted")
async def test_the_consumer_comes_back_when_its_stream_is_lost(
    plan_api: "PlanApi", user: UUID, nats_url: str, until: Until, outcome_of_plan: News
) -> None:
    """Rule 9: a deleted stream is made again, with its consumer, and news flows on."""
    plan_id = await plan_api.started(user)
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    await jetstream.consumer_info(subjects.OUTCOMES_STREAM, subjects.OUTCOMES_CONSUMER)
    await jetstream.delete_stream(subjects.OUTCOMES_STREAM)

    async def there_again() -> bool:
        try:
            await jetstream.consumer_info(subjects.OUTCOMES_STREAM, subjects.OUTCOMES_CONSUMER)
        except nats.js.errors.NotFoundError:
            return False
        return True

    await until(there_again, 15)
    await _publish(nats_url, plan_id, outcome_of_plan(plan_id).to_json())
    await until(lambda: _drained(jetstream, subjects.OUTCOMES_STREAM))
    await client.close()
    assert await plan_api.balance(user) == (1, 0)


async def test_the_relay_publishes_what_a_crash_left_behind(
    plan_api: "PlanApi", user: UUID, nats_url: str, until: Until
) -> None:
    """A committed outbox row without a publisher reaches the queue, under its own id, and is deleted."""
    plan_id = await plan_api.started(user)
    await plan_api.admin.execute(
        "INSERT INTO plan_api.outbox (plan_id, n, payload, created_at) VALUES ($1, 2, 'job', now() - interval '5 s')",
        plan_id,
    )

    async def empty() -> bool:
        return await plan_api.count("outbox") == 0

    await until(empty)
    client = await nats.connect(nats_url)
    message = await client.jetstream().get_last_msg(subjects.JOBS_STREAM, subjects.JOBS_SUBJECT)
    await client.close()
    assert ((message.headers or {})["Nats-Msg-Id"], message.data) == (f"{plan_id}.2", b"job")


async def test_a_start_just_before_nats_dies_is_published_when_it_is_back(
    launch: "Callable[..., Awaitable[PlanApi]]",
    private_nats: "NatsServer",
    ready: Callable[..., Awaitable[None]],
    until: Until,
    user: UUID,
) -> None:
    """Without its stream the job waits in the outbox, the start is not refused, and JetStream gets it exactly once."""
    api = await launch(private_nats.url)
    await ready(api)
    preference_id = await api.store_inputs(user)
    # A frozen broker: the connection stands, and nothing answers.
    private_nats.process.send(signal.SIGSTOP)
    response = await api.start(user, preference_id)
    assert response.status_code == 201
    assert await api.count("outbox") == 1
    private_nats.process.send(signal.SIGCONT)

    async def empty() -> bool:
        return await api.count("outbox") == 0

    await until(empty)
    client = await nats.connect(private_nats.url)
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(subjects.JOBS_STREAM)).state
    message = await jetstream.get_msg(subjects.JOBS_STREAM, state.first_seq)
    await client.close()
    assert state.messages == 1
    assert str(GenerateJob.model_validate_json(message.data or b"").plan_id) == response.json()["planId"]


async def test_migrations_are_idempotent_and_the_role_is_bound(
    migrated: Callable[[str], Awaitable[str]], database: str
) -> None:
    """A second run applies nothing; the service's role creates nothing and sees no other schema."""
    count = "SELECT count(*) FROM plan_api.schema_migrations"
    admin = await asyncpg.connect(database)
    await migrated("plan_api")
    applied = await admin.fetchval(count)
    url = await migrated("plan_api")
    assert await admin.fetchval(count) == applied > 0
    await admin.execute("CREATE SCHEMA secret")
    await admin.execute("CREATE TABLE secret.things (id int)")
    await admin.close()
    connection = await asyncpg.connect(url)
    for statement in (
        "CREATE TABLE plan_api.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "DROP TABLE plan_api.outbox",
        "TRUNCATE plan_api.outbox",
        "SELECT * FROM secret.things",
        "SELECT * FROM plan_api.schema_migrations",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()


async def test_a_failed_generation_keeps_its_code(plan_api: "PlanApi", user: UUID, outcome_of_plan: News) -> None:
    """The list shows why a plan failed."""
    plan_id = await plan_api.started(user)
    news = outcome_of_plan(plan_id, "failed", "released").model_copy(update={"code": ErrorCode.INVALID_PLAN})
    await plan_api.settlement.settle(news)
    [plan] = (await plan_api.ask("GET", "/api/plan/plans", user)).json()["plans"]
    assert (plan["planId"], plan["status"], plan["code"]) == (str(plan_id), "failed", "invalid_plan")
