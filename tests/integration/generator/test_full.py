"""A generator takes no more plans than it may, whichever way they come."""

import asyncio
from collections.abc import Callable

from nats.aio.client import Client

from common.contracts.errors import ErrorCode
from common.contracts.messages import GenerateJob
from testkit.generator_process import StartGenerator


async def test_calls_that_come_at_once_do_not_pass_its_limit_together(
    start_generator: StartGenerator, client: Client, new_job: Callable[..., GenerateJob]
) -> None:
    """A place is taken before Postgres has said whose the plan is, not after."""
    assert client.is_connected
    generator = await start_generator(generator_concurrency=2)
    jobs = [new_job(mode="sync").model_dump(mode="json", by_alias=True) for _ in range(6)]
    answers = await asyncio.gather(*(generator.call("POST", "/internal/generate", **job) for job in jobs))
    ended = [answer.json()["status"] for answer in answers if answer.is_success]
    refused = [answer.json()["code"] for answer in answers if not answer.is_success]
    assert ended == ["completed"] * 2
    assert refused == [ErrorCode.UNAVAILABLE] * 4
    # The places are free again, also those of calls that were refused.
    again = await generator.call(
        "POST", "/internal/generate", **new_job(mode="sync").model_dump(mode="json", by_alias=True)
    )
    assert again.json()["status"] == "completed"
