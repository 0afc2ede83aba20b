"""Admission of a generation: everything that can refuse it, in one transaction; after the commit nothing does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import structlog

from common import tracing
from common.broker import Broker
from common.contracts.errors import ErrorCode
from common.contracts.messages import Mode, OnDisconnect
from common.postgres import Connection, Database, DatabaseUnavailableError
from common.problems import ApiError
from plan_api import metrics, quota
from plan_api.outbox import Outbox
from plan_api.quota import Account, Policy
from plan_api.reconcile import NEWS_SECONDS, Reconciler
from plan_api.repository import accounts, generations, idempotency, outbox, preferences
from plan_api.repository.generations import GenerationRow, NewGeneration
from plan_api.repository.idempotency import IdempotencyKey
from plan_api.repository.outbox import OutboxRow

_log = structlog.get_logger(__name__)

CREATED = 201
ACCEPTED = 202
# Refusals that a plan which has ended unnoticed may have caused.
LIMITS = frozenset({ErrorCode.QUOTA_EXCEEDED, ErrorCode.TOO_MANY_RUNNING})
_RETRY_SECONDS = 10
# With what publishing may take, less than the gateway waits.
DECISION_SECONDS = 5.0
_BROKER_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Start:
    """A user asks for a plan; `watched` when the answer to the request is the plan's stream."""

    user_id: UUID
    preference_id: UUID
    mode: Mode
    on_disconnect: OnDisconnect = "abort"
    key: IdempotencyKey | None = None
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The plan that stands for the request; `replayed` when an earlier request with the same key made it."""

    generation: GenerationRow
    replayed: bool = False


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """For a decision that somebody waits for: one that comes after he has gone would charge him for nothing.

    Raises:
        common.postgres.UNAVAILABLE: it took too long, and nothing of it is stored.
    """
    try:
        async with asyncio.timeout(DECISION_SECONDS):
            yield
    except TimeoutError as error:
        raise DatabaseUnavailableError(f"no decision in {DECISION_SECONDS:g} s") from error


class Admission:
    """Accepts or refuses a plan. A refusal stores nothing."""

    def __init__(
        self, database: Database, broker: Broker, outbox_relay: Outbox, reconciler: Reconciler, policy: Policy
    ) -> None:
        self._database = database
        self._broker = broker
        self._outbox = outbox_relay
        self._reconciler = reconciler
        self._policy = policy

    async def admit(self, start: Start) -> Accepted:
        """Reserve quota and store the plan; a streaming one is published.

        Raises:
            ApiError: unavailable (NATS, for a streaming start), not_found, idempotency_conflict, too_many_running,
                quota_exceeded.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        if start.mode == "stream":
            self.require_broker()
        try:
            accepted, job = await self._decide(start)
        except ApiError as refusal:
            metrics.ADMISSIONS.labels(start.mode, refusal.code).inc()
            raise
        metrics.ADMISSIONS.labels(start.mode, "replayed" if accepted.replayed else "accepted").inc()
        if job is not None:
            await self.publish([job])
        return accepted

    def require_broker(self) -> None:
        """Nothing is accepted to be streamed that could not be.

        Raises:
            ApiError: unavailable.
        """
        if not self._broker.connected:
            detail = "Live generation is not available just now. Try again shortly, or use the synchronous call."
            raise ApiError(ErrorCode.UNAVAILABLE, detail, retry_after=_BROKER_RETRY_SECONDS)

    async def reconcile(self, user_id: UUID) -> bool:
        """Settle the user's plans that have ended without our knowing; whether there were any."""
        return bool(await self._reconciler.settle_ended_of(user_id))

    async def publish(self, jobs: Sequence[OutboxRow]) -> None:
        """Send committed jobs. Never fails: the relay does what is left undone."""
        await self._outbox.publish(jobs)

    async def _decide(self, start: Start) -> tuple[Accepted, OutboxRow | None]:
        async with in_time():
            try:
                return await self._transact(start)
            except ApiError as refusal:
                # A lost outcome must lock nobody out.
                if refusal.code not in LIMITS or not await self.reconcile(start.user_id):
                    raise
                return await self._transact(start)

    async def _transact(self, start: Start) -> tuple[Accepted, OutboxRow | None]:
        plan_id = uuid4()
        async with self._database.transaction() as transaction:
            if start.key is not None:
                earlier = await idempotency.remember(transaction, start.key, CREATED, plan_id=plan_id)
                if earlier is not None:
                    return await self._replay(transaction, earlier.plan_id), None
            row, job = await self.reserve(transaction, start, plan_id)
        return Accepted(row), job

    async def reserve(
        self, transaction: Connection, start: Start, plan_id: UUID
    ) -> tuple[GenerationRow, OutboxRow | None]:
        """Admit one plan within a transaction; a refusal has written nothing, so that another may follow it.

        Raises:
            ApiError: not_found, too_many_running, quota_exceeded.
        """
        stored = await preferences.find(transaction, start.preference_id, start.user_id)
        if stored is None:
            raise ApiError(ErrorCode.NOT_FOUND, "There are no inputs with this preferenceId.")
        period = quota.period_of(datetime.now(UTC))
        account = await accounts.lock(transaction, start.user_id, period)
        self._refuse(account, await generations.count_running(transaction, start.user_id))
        new = NewGeneration(
            plan_id,
            start.user_id,
            start.preference_id,
            start.mode,
            stored.preferences,
            start.on_disconnect,
            start.watched,
            period,
        )
        row = await generations.reserve(transaction, new, NEWS_SECONDS)
        job = None
        if start.mode == "stream":
            asked = row.job().model_copy(update={"traceparent": tracing.traceparent()})
            job = await outbox.insert(transaction, plan_id, 1, asked.to_json())
        _log.info("plan.reserved", plan_id=str(plan_id), mode=start.mode)
        return row, job

    def _refuse(self, account: Account, running: int) -> None:
        match quota.refusal(account, running, self._policy):
            case "too_many_running":
                detail = f"{running} of your plans are being written. Wait for one to end, or cancel one."
                raise ApiError(ErrorCode.TOO_MANY_RUNNING, detail, retry_after=_RETRY_SECONDS)
            case "quota_exceeded":
                limit = quota.effective_limit(account, self._policy)
                resets = quota.resets_at(quota.period_of(datetime.now(UTC)))
                detail = f"The limit of {limit} plans a month is reached. It starts anew on {resets:%Y-%m-%d} (UTC)."
                raise ApiError(ErrorCode.QUOTA_EXCEEDED, detail)
            case None:
                pass

    async def _replay(self, transaction: Connection, plan_id: UUID | None) -> Accepted:
        row = None if plan_id is None else await generations.find(transaction, plan_id)
        if row is None:
            raise ApiError(ErrorCode.NOT_FOUND, "The plan that this Idempotency-Key made has been deleted.")
        return Accepted(row, replayed=True)
