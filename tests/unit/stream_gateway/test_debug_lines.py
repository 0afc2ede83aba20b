"""What a gateway says at LOG_LEVEL=debug, where an operator would look."""

from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from common.broker import Broker
from common.contracts.events import Progress
from common.contracts.internal import PlanView
from common.generator_client import GeneratorClient
from stream_gateway.ownership import Ownership
from stream_gateway.status import StatusReader

PLAN, USER = uuid4(), uuid4()


class Neighbours:
    """No owner; a generator with or without a row; plan-api."""

    connected = False

    def __init__(self, row: PlanView | None) -> None:
        self.row = row

    async def view(self, _: object) -> PlanView | None:
        """As a generator."""
        return self.row

    async def confirm(self, *_: object) -> int:
        """As plan-api: so many weeks."""
        return 4


ROW = PlanView(
    plan_id=PLAN,
    user_id=USER,
    status="generating",
    attempt=1,
    seq=3,
    progress=Progress.queued(4),
    updated_at=datetime.now(UTC),
)


@pytest.mark.parametrize(("row", "by"), [(ROW, "row"), (None, "plan-api")])
async def test_a_status_says_who_knew_it(row: PlanView | None, by: str) -> None:
    """An operator sees whether the owner was there to answer."""
    neighbours = Neighbours(row)
    reader = StatusReader(
        cast("Broker", neighbours), cast("GeneratorClient", neighbours), cast("Ownership", neighbours)
    )
    with capture_logs() as lines:
        await reader.read(PLAN, USER)
    assert lines == [{"event": "status.answered", "log_level": "debug", "plan_id": str(PLAN), "by": by}]
