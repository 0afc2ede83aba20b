"""The first that is heard of a plan that is watched: it decides between 200, 204 and 404, and what `connected` says."""

import asyncio
from typing import Final
from uuid import UUID

from common.contracts.errors import ErrorCode
from common.contracts.events import Connected, Phase, PlanStatus
from common.problems import ApiError
from stream_gateway.channel import Channel
from stream_gateway.frame import Frame
from stream_gateway.ownership import Ownership

FIRST_WORD_SECONDS: Final = 1.5


async def first_word(channel: Channel, ownership: Ownership, user_id: UUID) -> None:
    """Wait until something is known, for as long as a first answer may take.

    Raises:
        ApiError: not_found, when it was deleted before any generator knew it.
    """
    try:
        async with asyncio.timeout(FIRST_WORD_SECONDS):
            await channel.answered.wait()
    except TimeoutError:
        channel.say("unanswered")
    if channel.phase == "queued":
        await _confirm_queued(ownership, channel.plan_id, user_id)


async def _confirm_queued(ownership: Ownership, plan_id: UUID, user_id: UUID) -> None:
    """No generator knows it: it is queued, or it was deleted. plan-api knows which."""
    try:
        await ownership.confirm(plan_id, user_id)
    except ApiError as error:
        if error.code is not ErrorCode.UNAVAILABLE:
            raise


def connected(plan_id: UUID, status: PlanStatus, phase: Phase | None) -> Frame:
    """The event that comes first."""
    event = Connected(plan_id=plan_id, status=status, phase=phase)
    return Frame("connected", event.model_dump_json(by_alias=True, exclude={"event"}).encode())
