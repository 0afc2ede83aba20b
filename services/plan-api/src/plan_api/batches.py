"""Several plans in one request: one transaction admits each or notes why not, so that none is lost half-way."""

from uuid import UUID, uuid4

from common.contracts.errors import ErrorCode
from common.contracts.messages import OnDisconnect
from common.contracts.public import Batch, BatchItem, BatchRefusal
from common.postgres import Database
from common.problems import ApiError
from plan_api import metrics
from plan_api.admission import ACCEPTED, LIMITS, Admission, Start, in_time
from plan_api.repository import batches, idempotency
from plan_api.repository.idempotency import IdempotencyKey
from plan_api.repository.outbox import OutboxRow


class Batches:
    """Batches of streaming plans."""

    def __init__(self, database: Database, admission: Admission) -> None:
        self._database = database
        self._admission = admission

    async def admit(
        self, user_id: UUID, preference_ids: list[UUID], on_disconnect: OnDisconnect, key: IdempotencyKey | None
    ) -> Batch:
        """Admit what can be admitted; a repeat with the same key gets the same batch.

        Raises:
            ApiError: unavailable (NATS), idempotency_conflict.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        self._admission.require_broker()
        starts = [Start(user_id, preference_id, "stream", on_disconnect) for preference_id in preference_ids]
        async with in_time():
            try:
                batch, jobs = await self._transact(starts, key, may_look_again=True)
            except ApiError as refusal:
                if refusal.code not in LIMITS:
                    raise
                # A lost outcome must lock nobody out.
                await self._admission.reconcile(user_id)
                batch, jobs = await self._transact(starts, key, may_look_again=False)
        if jobs:
            await self._admission.publish(jobs)
        return batch

    async def find(self, batch_id: UUID) -> Batch:
        """A batch, whoever it belongs to.

        Raises:
            ApiError: not_found.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        async with self._database.connection() as connection:
            found = await batches.find(connection, batch_id)
        if found is None:
            raise ApiError(ErrorCode.NOT_FOUND, "There is no batch with this id.")
        return found

    async def _transact(
        self, starts: list[Start], key: IdempotencyKey | None, *, may_look_again: bool
    ) -> tuple[Batch, list[OutboxRow]]:
        """Raises what refuses by a limit, instead of noting it, while it is worth looking again."""
        batch = Batch(batch_id=uuid4(), user_id=starts[0].user_id, items=[])
        jobs: list[OutboxRow] = []
        async with self._database.transaction() as transaction:
            if key is not None:
                made = {"batchId": str(batch.batch_id)}
                earlier = await idempotency.remember(transaction, key, ACCEPTED, response=made)
                if earlier is not None:
                    found = await batches.find(transaction, UUID(earlier.response["batchId"]))
                    assert found is not None, "stored in the transaction that remembered it"
                    return found, []
            for start in starts:
                try:
                    row, job = await self._admission.reserve(transaction, start, uuid4())
                except ApiError as refusal:
                    if may_look_again and refusal.code in LIMITS:
                        raise
                    error = BatchRefusal(code=refusal.code, detail=refusal.detail)
                    batch.items.append(BatchItem(preference_id=start.preference_id, error=error))
                else:
                    batch.items.append(BatchItem(preference_id=start.preference_id, plan_id=row.plan_id))
                    jobs += [] if job is None else [job]
            await batches.insert(transaction, batch)
            if key is not None and not batch.plan_ids:
                # Refusals are not remembered: the same request may be granted later.
                await idempotency.forget(transaction, key)
        # Here, because a repeat of the request has admitted and refused nothing.
        for item in batch.items:
            metrics.ADMISSIONS.labels("stream", item.error.code if item.error else "accepted").inc()
        return batch, jobs
