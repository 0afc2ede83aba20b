"""Who is refused what on NATS: with the deployment's own file of users, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from common.broker import JOBS, OUTCOMES, Broker, inbox_prefix, open_broker
from common.contracts import subjects
from generator.jobs import CONSUMER as JOBS_CONSUMER
from local_stack.ports import LOOPBACK
from plan_api.outcomes import CONSUMER as OUTCOMES_CONSUMER
from testkit.guarded_nats import GuardedNats

PLAN = UUID("0190c0de-0000-7000-8000-000000000001")
SERVICES = ("plan-api", "generator", "stream-gateway")
JETSTREAM = "$JS.API"


class Caller:
    """A connection as a service's user, and what the server has refused it."""

    def __init__(self, client: Client, refusals: asyncio.Queue[str]) -> None:
        self.client = client
        self._refusals = refusals

    async def arrive(self) -> None:
        """Wait until the server has dealt with all that was said, and has answered it."""
        # The client's PING overtakes what waits to be sent; the second one does not.
        await self.client.flush()
        await self.client.flush()

    async def may_publish(self, subject: str) -> bool:
        """Whether the server takes a message there."""
        await self.client.publish(subject, b"{}")
        return not await self._refused(f'publish to "{subject}"')

    async def may_subscribe(self, subject: str) -> bool:
        """Whether the server lets it listen there."""
        subscription = await self.client.subscribe(subject)
        refused = await self._refused(f'subscription to "{subject}"')
        await subscription.unsubscribe()
        return not refused

    async def _refused(self, what: str) -> bool:
        await self.arrive()
        said = [self._refusals.get_nowait() for _ in range(self._refusals.qsize())]
        return any("permissions violation" in line and what.lower() in line for line in map(str.lower, said))


@asynccontextmanager
async def calling(guarded: GuardedNats, user: str) -> AsyncIterator[Caller]:
    """Connect as a user."""
    refusals: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refusals.put_nowait(str(error))

    client = await nats.connect(guarded.url(user), error_cb=on_error, inbox_prefix=inbox_prefix(user))
    try:
        yield Caller(client, refusals)
    finally:
        await client.close()


# Who says what: every subject of the wire, and who publishes and who hears it. Everybody else is refused.
PUBLISHERS = {
    subjects.JOBS_SUBJECT: {"plan-api"},
    subjects.outcome(PLAN): {"generator"},
    subjects.events(PLAN): {"generator"},
    subjects.viewers(PLAN): {"generator"},
    subjects.state(PLAN): {"stream-gateway"},
    subjects.control(PLAN): {"stream-gateway"},
    f"{JETSTREAM}.CONSUMER.MSG.NEXT.{subjects.JOBS_STREAM}.{subjects.JOBS_CONSUMER}": {"generator"},
    f"{JETSTREAM}.CONSUMER.MSG.NEXT.{subjects.OUTCOMES_STREAM}.{subjects.OUTCOMES_CONSUMER}": {"plan-api"},
    f"$JS.ACK.{subjects.JOBS_STREAM}.{subjects.JOBS_CONSUMER}.1.1.1.1.0": {"generator"},
    f"$JS.ACK.{subjects.OUTCOMES_STREAM}.{subjects.OUTCOMES_CONSUMER}.1.1.1.1.0": {"plan-api"},
    f"{JETSTREAM}.STREAM.CREATE.{subjects.JOBS_STREAM}": {"plan-api", "generator"},
    f"{JETSTREAM}.STREAM.CREATE.{subjects.OUTCOMES_STREAM}": {"plan-api", "generator"},
    f"{JETSTREAM}.STREAM.CREATE.ANOTHER": set(),
    f"{JETSTREAM}.STREAM.DELETE.{subjects.JOBS_STREAM}": set(),
    f"{JETSTREAM}.STREAM.PURGE.{subjects.OUTCOMES_STREAM}": set(),
    f"{JETSTREAM}.STREAM.MSG.GET.{subjects.JOBS_STREAM}": set(),
    f"{JETSTREAM}.CONSUMER.CREATE.{subjects.JOBS_STREAM}": set(),
    f"{JETSTREAM}.CONSUMER.DELETE.{subjects.JOBS_STREAM}.{subjects.JOBS_CONSUMER}": set(),
    f"{JETSTREAM}.INFO": set(),
    "$SYS.REQ.SERVER.PING": set(),
    "anything.else": set(),
}
LISTENERS = {
    subjects.events(PLAN): {"stream-gateway"},
    subjects.viewers(PLAN): {"stream-gateway"},
    subjects.state(PLAN): {"generator"},
    subjects.control(PLAN): {"generator"},
    subjects.JOBS_SUBJECT: set(),
    subjects.outcome(PLAN): set(),
    **{f"{inbox_prefix(name)}.>": {name} for name in SERVICES},
    "_INBOX.>": set(),
    "$JS.EVENT.>": set(),
    "plan.>": set(),
    ">": set(),
}


@pytest.mark.parametrize("user", SERVICES)
async def test_a_service_says_what_is_its_own_to_say_and_nothing_else(guarded_nats: GuardedNats, user: str) -> None:
    """Each subject is taken from those that it is for, and refused to all others."""
    async with calling(guarded_nats, user) as caller:
        allowed = {subject for subject in PUBLISHERS if await caller.may_publish(subject)}
    assert allowed == {subject for subject, users in PUBLISHERS.items() if user in users}


@pytest.mark.parametrize("user", SERVICES)
async def test_a_service_hears_what_is_for_it_and_nothing_else(guarded_nats: GuardedNats, user: str) -> None:
    """No service listens to another's questions, answers, jobs or outcomes."""
    async with calling(guarded_nats, user) as caller:
        allowed = {subject for subject in LISTENERS if await caller.may_subscribe(subject)}
    assert allowed == {subject for subject, users in LISTENERS.items() if user in users}


async def test_an_answer_goes_to_whom_it_is_for(guarded_nats: GuardedNats) -> None:
    """An owner answers a gateway, into the gateway's own inbox, once, and may not write there unasked."""
    async with calling(guarded_nats, "generator") as owner, calling(guarded_nats, "stream-gateway") as gateway:
        subscription = await owner.client.subscribe(subjects.state(PLAN))
        await owner.arrive()
        asking = asyncio.create_task(gateway.client.request(subjects.state(PLAN), b"", timeout=5))
        question = await subscription.next_msg(timeout=5)
        assert question.reply.startswith(inbox_prefix("stream-gateway"))
        await question.respond(b"the state")
        assert (await asking).data == b"the state"
        assert not await owner.may_publish(question.reply)


async def test_nobody_comes_in_without_a_password(guarded_nats: GuardedNats) -> None:
    """No user, an unknown one, or another's password: refused."""
    address = f"{LOOPBACK}:{guarded_nats.server.port}"
    wrong = guarded_nats.passwords["generator"]
    for who in ("", "somebody:else@", f"plan-api:{wrong}@"):
        client = Client()
        with pytest.raises(nats.errors.Error):
            await client.connect(f"nats://{who}{address}", allow_reconnect=False, error_cb=_ignore)
        await client.close()


async def _ignore(_: Exception) -> None: ...


async def _ensure(broker: Broker) -> None:
    await broker.wait_connected()
    await broker.ensure_stream(JOBS)
    await broker.ensure_stream(OUTCOMES)


async def test_services_make_what_they_need_on_a_new_broker(guarded_nats: GuardedNats) -> None:
    """Both that consume make the streams and their own consumer, and bring them up to date a second time."""
    for name, stream, consumer in (
        ("plan-api", subjects.OUTCOMES_STREAM, OUTCOMES_CONSUMER),
        ("generator", subjects.JOBS_STREAM, JOBS_CONSUMER),
    ):
        async with open_broker(SecretStr(guarded_nats.url(name)), name) as broker, asyncio.timeout(10):
            await _ensure(broker)
            made = await broker.jetstream.add_consumer(stream, consumer)
            assert made.config.durable_name == consumer.durable_name
