"""Whose a batch is, and which plans it has: from memory, else from plan-api, which knows."""

import asyncio
from collections import OrderedDict
from typing import Final
from uuid import UUID

from starlette.responses import Response

from common.contracts.errors import ErrorCode
from common.contracts.public import Batch, BatchRequest, PlanOutcome
from common.ids import parse_uuid
from common.problems import ApiError
from stream_gateway.cancel import Canceller
from stream_gateway.ownership import Ownership
from stream_gateway.plan_api import PlanApi

REMEMBERED: Final = 5_000


class Batches:
    """Answers for one gateway. A batch never changes, so what is remembered stays true."""

    def __init__(self, plan_api: PlanApi, ownership: Ownership, canceller: Canceller) -> None:
        self._plan_api = plan_api
        self._ownership = ownership
        self._canceller = canceller
        self._known: OrderedDict[UUID, Batch] = OrderedDict()

    async def start(self, asked: BatchRequest, user_id: UUID, key: str | None) -> Batch | Response:
        """Have each plan admitted, or hear why not; a refusal of the whole is passed on as it is.

        Raises:
            ApiError: unavailable.
        """
        batch = await self._plan_api.start_batch(asked, user_id, key)
        if isinstance(batch, Batch):
            self._remember(batch)
            for plan_id in batch.plan_ids:
                self._ownership.learn(plan_id, user_id)
        return batch

    async def require(self, text: str, user_id: UUID) -> Batch:
        """The batch, when it is the user's.

        Raises:
            ApiError: not_found; or unavailable, when nobody can say.
        """
        batch_id = parse_uuid(text)
        batch = None if batch_id is None else self._known.get(batch_id)
        if batch is None and batch_id is not None:
            batch = await self._plan_api.batch(batch_id, user_id)
        if batch is None or batch.user_id != user_id:
            raise ApiError(ErrorCode.NOT_FOUND, "There is no such batch.")
        self._remember(batch)
        return batch

    async def is_deleted(self, plan_id: UUID, user_id: UUID) -> bool:
        """Whether a plan of the user's batch is there no more; False as well when nobody can say."""
        try:
            await self._ownership.require(str(plan_id), user_id)
        except ApiError as error:
            return error.code is ErrorCode.NOT_FOUND
        return False

    async def cancel(self, batch: Batch) -> list[PlanOutcome]:
        """Cancel all plans at once, which are `MAX_BATCH` at most; how each stands then."""
        return await asyncio.gather(*(self._cancel(plan_id, batch.user_id) for plan_id in batch.plan_ids))

    async def _cancel(self, plan_id: UUID, user_id: UUID) -> PlanOutcome:
        if await self.is_deleted(plan_id, user_id):
            return PlanOutcome(plan_id=plan_id, status="deleted")
        return PlanOutcome(plan_id=plan_id, status=await self._canceller.cancel(plan_id, user_id) or "cancelling")

    def _remember(self, batch: Batch) -> None:
        self._known[batch.batch_id] = batch
        self._known.move_to_end(batch.batch_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
