"""Whose a plan is: from memory, else from our table, else from plan-api, which knows."""

from asyncio import Task, create_task, shield, timeout
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from common.contracts.errors import ErrorCode
from common.contracts.internal import Generation
from common.ids import parse_uuid
from common.postgres import DatabaseUnavailableError
from common.problems import ApiError
from stream_gateway.journal import Journal
from stream_gateway.plan_api import PlanApi
from stream_gateway.repository import PlanErased, PlanSeen, Repository

_log = structlog.get_logger(__name__)

# As many plans as one gateway is meant to have streams.
REMEMBERED = 10_000
# Another gateway may delete the plan, and erases it from the table: memory alone is believed for so long, counted anew
# from each event that is heard of it, since what is deleted is written no more. What is older still counts when nobody
# else can be asked.
FRESH_SECONDS = 3.0
CONFIRM_SECONDS = 1.0
TABLE_SECONDS = 0.5
# After the table has failed it is left alone for so long: plan-api answers as well.
TABLE_REST_SECONDS = 5.0


def not_found() -> ApiError:
    """The one answer for a plan that is malformed, unknown or another user's."""
    return ApiError(ErrorCode.NOT_FOUND, "There is no such plan.")


# The owner of what is deleted: an id that no user has.
_NOBODY = uuid4()


@dataclass(frozen=True, slots=True)
class _Owner:
    user_id: UUID
    since: float


class Ownership:
    """Answers for one gateway."""

    def __init__(
        self,
        repository: Repository,
        plan_api: PlanApi,
        journal: Journal,
        advanced_at: Callable[[UUID], float],
        clock: Callable[[], float],
    ) -> None:
        """`advanced_at` is when a plan was last seen to be written, on `clock`; seconds."""
        self._repository = repository
        self._plan_api = plan_api
        self._journal = journal
        self._advanced_at = advanced_at
        self._clock = clock
        self._owners: OrderedDict[UUID, _Owner] = OrderedDict()
        self._asking: dict[UUID, Task[UUID]] = {}
        self._table_rests_until = 0.0

    def learn(self, plan_id: UUID, user_id: UUID) -> None:
        """plan-api has said so; of what was deleted here that is old news, as the answer to a repeated key may be."""
        known = self._owners.get(plan_id)
        if known is not None and known.user_id == _NOBODY:
            return
        if plan_id not in self._owners:
            self._journal.put(PlanSeen(plan_id, user_id))
        self._remember(plan_id, user_id)

    async def require(self, text: str, user_id: UUID) -> UUID:
        """The plan's id, when the plan is the user's.

        Raises:
            ApiError: not_found; or unavailable, when nobody can say.
        """
        plan_id = parse_uuid(text)
        if plan_id is None:
            raise not_found()
        if await self._owner(plan_id, user_id) != user_id:
            raise not_found()
        return plan_id

    async def _owner(self, plan_id: UUID, asker: UUID) -> UUID:
        known = self._owners.get(plan_id)
        if known is not None and self._clock() - max(known.since, self._advanced_at(plan_id)) < FRESH_SECONDS:
            return known.user_id
        asking = self._asking.get(plan_id)
        if asking is None:
            # One question, however many viewers of the plan come back in the same moment.
            asking = self._asking[plan_id] = create_task(self._ask(plan_id, asker, known), name=f"owner of {plan_id}")
            asking.add_done_callback(lambda task: self._asked(plan_id, task))
        return await shield(asking)

    def _asked(self, plan_id: UUID, task: "Task[UUID]") -> None:
        del self._asking[plan_id]
        if not task.cancelled():
            task.exception()  # whoever has asked may have gone

    async def _ask(self, plan_id: UUID, asker: UUID, known: _Owner | None) -> UUID:
        """The owner, whoever asks.

        Raises:
            ApiError: not_found; or unavailable, when nobody can say.
        """
        user_id = await self._owner_in_table(plan_id)
        _log.debug("owner.asked", plan_id=str(plan_id), remembered=known is not None, in_table=user_id is not None)
        if user_id is None:
            user_id = await self._owner_at_plan_api(plan_id, asker, known)
        self._remember(plan_id, user_id)
        return user_id

    async def _owner_at_plan_api(self, plan_id: UUID, asker: UUID, known: _Owner | None) -> UUID:
        try:
            async with timeout(None if known is None else CONFIRM_SECONDS):
                return (await self._generation(plan_id, asker)).user_id
        except (ApiError, TimeoutError) as error:
            if known is None or (isinstance(error, ApiError) and error.code is not ErrorCode.UNAVAILABLE):
                raise
            return known.user_id

    async def confirm(self, plan_id: UUID, user_id: UUID) -> int:
        """Ask plan-api itself, also about what we remember: the plan may be deleted. Answers with its weeks.

        Raises:
            ApiError: not_found; or unavailable.
        """
        generation = await self._generation(plan_id, user_id)
        if generation.user_id != user_id:
            raise not_found()
        return generation.weeks

    async def _generation(self, plan_id: UUID, asker: UUID) -> Generation:
        """Raises ApiError: not_found; or unavailable."""
        generation = await self._plan_api.generation(plan_id, asker)
        if generation is None:
            if self._owners.pop(plan_id, None) is not None:
                # Deleted through another gateway, perhaps before our own row of it was written.
                self._journal.put(PlanErased(plan_id))
            raise not_found()
        self.learn(plan_id, generation.user_id)
        return generation

    async def remembered(self, plan_id: UUID) -> UUID | None:
        """Whose the plan is or was, as far as is known without asking plan-api."""
        known = self._owners.get(plan_id)
        return await self._owner_in_table(plan_id) if known is None else known.user_id

    def forget(self, plan_id: UUID) -> None:
        """The plan was deleted: nothing of it stays here, and until the table knows it nobody owns it."""
        self._remember(plan_id, _NOBODY)
        self._journal.put(PlanErased(plan_id))

    def _remember(self, plan_id: UUID, user_id: UUID) -> None:
        self._owners[plan_id] = _Owner(user_id, self._clock())
        self._owners.move_to_end(plan_id)
        if len(self._owners) > REMEMBERED:
            self._owners.popitem(last=False)

    async def _owner_in_table(self, plan_id: UUID) -> UUID | None:
        if self._clock() < self._table_rests_until:
            return None
        try:
            async with timeout(TABLE_SECONDS):
                return await self._repository.owner_of(plan_id)
        except (TimeoutError, DatabaseUnavailableError):
            self._table_rests_until = self._clock() + TABLE_REST_SECONDS
            return None
