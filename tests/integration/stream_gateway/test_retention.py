"""RETENTION_DAYS in the gateways' slice: owners, streams and answered cancellations by their age."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pydantic import SecretStr

from common.postgres import open_database
from common.retention import Retention
from stream_gateway.repository import CancelAnswered, CancelAsked, PlanSeen, Repository, SessionOpened
from stream_gateway.repository.retention import STATEMENTS

DAYS = 30


async def test_what_is_over_the_age_goes(migrated: Callable[[str], Awaitable[str]]) -> None:
    """A cancellation that nobody has answered stays, however old; young rows stay."""
    old, young, waiting, user = uuid4(), uuid4(), uuid4(), uuid4()
    now = datetime.now(UTC)
    long_ago = now - timedelta(days=DAYS + 1)
    async with open_database(SecretStr(await migrated("stream_gateway")), "test") as database:
        for plan_id, moment in ((old, long_ago), (young, now), (waiting, long_ago)):
            await Repository(database).write(
                [
                    PlanSeen(plan_id, user),
                    SessionOpened(uuid4(), plan_id, user, moment),
                    CancelAsked(uuid4(), plan_id, user, moment),
                    *([] if plan_id == waiting else [CancelAnswered(plan_id, "partial", moment)]),
                ]
            )
        await database.execute(
            "UPDATE stream_gateway.plan_streams SET created_at = $1 WHERE plan_id <> $2", long_ago, young
        )
        assert await Retention(database, DAYS, STATEMENTS).sweep() == 5
        left = {
            table: {row["plan_id"] for row in await database.fetch(f"SELECT plan_id FROM stream_gateway.{table}")}
            for table in ("plan_streams", "stream_sessions", "cancel_requests")
        }
    assert left == {"plan_streams": {young}, "stream_sessions": {young}, "cancel_requests": {young, waiting}}
